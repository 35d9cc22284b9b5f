#pragma once

#include <string_view>

namespace staithe::api {

// The OpenAPI 3.0.3 documents of the REST dialect, drawn from the .proto files at build time: that
// of the hosted API, and that of what Staithe adds.
std::string_view openapi_yaml();
std::string_view openapi_json();
std::string_view staithe_openapi_yaml();
std::string_view staithe_openapi_json();

}  // namespace staithe::api
