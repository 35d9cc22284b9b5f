#pragma once

#include <chrono>

namespace staithe::cli {

// Lets time pass between two looks at the server.
void pause_for(std::chrono::milliseconds time);

}  // namespace staithe::cli
