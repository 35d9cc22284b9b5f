#include "cli/api_client.h"

#include <charconv>

#include "net/blocking_client.h"

namespace staithe::cli {
namespace {

using nlohmann::json;

Error read_error(std::uint16_t status, const std::string& text) {
  const json body = json::parse(text, nullptr, false);
  Error error{.code = Code::unknown,
              .message = "the server answered HTTP " + std::to_string(status)};
  if (!body.is_object()) return error;
  const int code = body.value("code", 2);
  if (code > 0 && code <= 16) error.code = static_cast<Code>(code);
  error.message = body.value("message", error.message);
  for (const json& detail : body.value("details", json::array())) {
    for (const json& violation : detail.value("fieldViolations", json::array())) {
      error.violations.push_back(
          {violation.value("field", ""), violation.value("description", "")});
    }
  }
  return error;
}

}  // namespace

Result<Server> parse_server(const std::string& url) {
  const Error wrong{.code = Code::invalid_argument,
                    .message = "the server must be http://HOST:PORT, not " + url};
  const std::string scheme = "http://";
  if (!url.starts_with(scheme)) return wrong;
  std::string authority = url.substr(scheme.size());
  authority.resize(std::min(authority.find('/'), authority.size()));
  const auto colon = authority.rfind(':');
  Server server;
  server.host = authority.substr(0, colon);
  if (colon != std::string::npos) {
    const char* const end = authority.data() + authority.size();
    const auto outcome = std::from_chars(authority.data() + colon + 1, end, server.port);
    if (outcome.ec != std::errc{} || outcome.ptr != end) return wrong;
  } else {
    server.port = 80;
  }
  if (server.host.empty()) return wrong;
  return server;
}

Result<json> ApiClient::call(const std::string& method, const std::string& path, const json& body) {
  net::BlockingRequest request;
  request.host = server_.host;
  request.port = server_.port;
  request.method = method;
  request.target = "/v1alpha1/inference" + path;
  request.timeout = std::chrono::seconds{30};
  if (!server_.token.empty())
    request.headers.emplace_back("Authorization", "Bearer " + server_.token);
  if (!body.is_null()) {
    request.headers.emplace_back("Content-Type", "application/json");
    request.body = body.dump();
  }
  TRY_ASSIGN(const net::BlockingAnswer answer, net::send_blocking(request));
  if (answer.status != 200) return read_error(answer.status, answer.body);
  json parsed = json::parse(answer.body, nullptr, false);
  if (parsed.is_discarded()) {
    return Error{.code = Code::internal, .message = "the server's answer is not JSON"};
  }
  return parsed;
}

}  // namespace staithe::cli
