#pragma once

#include <nlohmann/json.hpp>

#include <memory>
#include <string>
#include <utility>

#include "base/result.h"
#include "net/tls_context.h"

namespace staithe::cli {

// Where the API is and who asks.
struct Server {
  std::string host = "127.0.0.1";
  std::uint16_t port = 8080;
  bool is_secure = false;
  std::string token;
};
// "http://HOST:PORT" or "https://HOST:PORT", with or without a path behind it.
Result<Server> parse_server(const std::string& url);

// The REST API. Blocking, one request a call.
class ApiClient {
 public:
  // `tls` says whom to trust; null in cleartext.
  ApiClient(Server server, std::shared_ptr<const net::TlsClientContext> tls)
      : server_(std::move(server)), tls_(std::move(tls)) {}

  // A refusal of the API comes back as the Error it drew, without its reason.
  Result<nlohmann::json> call(const std::string& method, const std::string& path,
                              const nlohmann::json& body = nullptr);

 private:
  Server server_;
  std::shared_ptr<const net::TlsClientContext> tls_;
};

}  // namespace staithe::cli
