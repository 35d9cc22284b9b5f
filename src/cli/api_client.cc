#include "cli/api_client.h"

#include <algorithm>
#include <charconv>

#include "net/blocking_client.h"

namespace staithe::cli {
namespace {

using nlohmann::json;

json list(const json& object, const char* key) {
  return object.value(key, json::array());
}

Error read_error(std::uint16_t status, const std::string& text) {
  const json body = json::parse(text, nullptr, false);
  Error error{.code = Code::unknown,
              .message = "the server answered HTTP " + std::to_string(status)};
  if (!body.is_object()) {
    // A server that could not even read the request says why in a line of plain text.
    const std::string line = text.substr(0, text.find('\n'));
    const bool is_sane = line.size() <= 200 && std::all_of(line.begin(), line.end(), [](char c) {
                           return c >= ' ' && c <= '~';
                         });
    if (is_sane && !line.empty()) error.message += ": " + line;
    return error;
  }
  const int code = body.value("code", 2);
  if (code > 0 && code <= 16) error.code = static_cast<Code>(code);
  error.message = body.value("message", error.message);
  for (const json& detail : list(body, "details")) {
    for (const json& violation : list(detail, "fieldViolations")) {
      error.violations.push_back(
          {violation.value("field", ""), violation.value("description", "")});
    }
    for (const json& violation : list(detail, "violations")) {
      error.preconditions.push_back({violation.value("type", ""), violation.value("subject", ""),
                                     violation.value("description", "")});
    }
  }
  return error;
}

}  // namespace

Result<Server> parse_server(const std::string& url) {
  const Error wrong{
      .code = Code::invalid_argument,
      .message = "the server must be http://HOST:PORT or https://HOST:PORT, not " + url};
  const std::string cleartext_scheme = "http://";
  const std::string secure_scheme = "https://";
  const bool is_secure = url.starts_with(secure_scheme);
  if (!is_secure && !url.starts_with(cleartext_scheme)) return wrong;
  std::string authority = url.substr(is_secure ? secure_scheme.size() : cleartext_scheme.size());
  authority.resize(std::min(authority.find('/'), authority.size()));
  Server server;
  server.is_secure = is_secure;
  // An IPv6 address has colons of its own, and brackets around them (RFC 3986 section 3.2.2).
  const bool is_bracketed = authority.starts_with('[');
  const auto host_end = is_bracketed ? authority.find(']') : authority.rfind(':');
  if (is_bracketed && host_end == std::string::npos) return wrong;
  server.host = is_bracketed ? authority.substr(1, host_end - 1) : authority.substr(0, host_end);
  const auto colon = is_bracketed ? authority.find(':', host_end) : host_end;
  if (is_bracketed && colon != host_end + 1 && authority.size() > host_end + 1) return wrong;
  if (colon != std::string::npos) {
    const char* const end = authority.data() + authority.size();
    const auto outcome = std::from_chars(authority.data() + colon + 1, end, server.port);
    if (outcome.ec != std::errc{} || outcome.ptr != end) return wrong;
  } else {
    server.port = is_secure ? 443 : 80;
  }
  if (server.host.empty()) return wrong;
  return server;
}

Result<json> ApiClient::call(const std::string& method, const std::string& path, const json& body) {
  net::BlockingRequest request;
  request.host = server_.host;
  request.port = server_.port;
  request.tls = tls_;
  request.method = method;
  request.target = path;
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
