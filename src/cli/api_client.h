#pragma once

#include <nlohmann/json.hpp>

#include <string>

#include "base/result.h"

namespace staithe::cli {

// Where the API is and who asks.
struct Server {
  std::string host = "127.0.0.1";
  std::uint16_t port = 8080;
  std::string token;
};
// "http://HOST:PORT", with or without a path behind it.
Result<Server> parse_server(const std::string& url);

// The REST API. Blocking, one request a call.
class ApiClient {
 public:
  explicit ApiClient(Server server) : server_(std::move(server)) {}

  // `path` behind /v1alpha1/inference. A refusal of the API comes back as the Error it drew.
  Result<nlohmann::json> call(const std::string& method, const std::string& path,
                              const nlohmann::json& body = nullptr);

 private:
  Server server_;
};

}  // namespace staithe::cli
