#pragma once

#include <nlohmann/json.hpp>

#include <string>

namespace staithe::api {

// `document` as block-style YAML 1.2, members in the order they have.
std::string to_yaml(const nlohmann::ordered_json& document);

}  // namespace staithe::api
