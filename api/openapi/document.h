#pragma once

#include <string_view>

namespace staithe::api {

// The OpenAPI 3.0.3 document of the REST dialect, drawn from the .proto files at build time.
std::string_view openapi_yaml();
std::string_view openapi_json();

}  // namespace staithe::api
