#pragma once

// Precompiled for every folder: what nearly every file includes anyway and what is slow to read,
// and nothing of ours. Files still include what they use.
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

#include <fmt/format.h>
#include <google/protobuf/message.h>

#include <nlohmann/json.hpp>
