#include "wire/connect.h"

#include <fmt/format.h>

#include <utility>

#include "base/encoding.h"
#include "wire/error_drawing.h"
#include "wire/form_query.h"
#include "wire/timeouts.h"

namespace staithe::wire {
namespace {

constexpr std::string_view binary_type = ConnectDialect::binary_type;
constexpr std::string_view json_type = "application/json";

Result<void> check_version(std::optional<std::string_view> version, std::string_view wanted,
                           std::string_view field) {
  if (!version || *version == wanted) return {};
  return Error{.code = Code::invalid_argument,
               .message = fmt::format("{} must be {}", field, wanted),
               .reason = "WRONG_PROTOCOL_VERSION"};
}

bool may_get(const RawRequest& request) {
  return request.method == "GET" || request.method == "HEAD";
}

// The parameters of a Connect GET (https://connectrpc.com/docs/protocol#unary-get-request).
struct GetQuery {
  std::optional<std::string> message;
  std::string encoding;
  std::string compression;
  std::string version;
  bool is_base64 = false;
};

Result<GetQuery> read_get_query(std::string_view text) {
  GetQuery query;
  TRY_ASSIGN(auto pairs, read_form_query(text));
  for (auto& [name, value] : pairs) {
    if (name == "message") query.message = std::move(value);
    if (name == "encoding") query.encoding = std::move(value);
    if (name == "compression") query.compression = std::move(value);
    if (name == "connect") query.version = std::move(value);
    if (name == "base64") query.is_base64 = value == "1";
  }
  return query;
}

// Nothing when the request is in no format of ours.
std::optional<MessageFormat> format_of(const RawRequest& request) {
  if (may_get(request)) {
    const auto query = read_get_query(request.query);
    if (!query) return MessageFormat::json;  // reading it again says why
    if (query->encoding == "proto") return MessageFormat::proto;
    if (query->encoding == "json") return MessageFormat::json;
    return std::nullopt;
  }
  const std::string& type = request.media_type;
  if (type == binary_type) return MessageFormat::proto;
  if (type == json_type) return MessageFormat::json;
  return std::nullopt;
}

Result<MessagePtr> read_get(const Method& method, const RawRequest& request, MessageFormat format,
                            std::size_t bytes_max) {
  TRY_ASSIGN(GetQuery query, read_get_query(request.query));
  if (!query.version.empty()) TRY(check_version(query.version, "v1", "the parameter connect"));
  if (!query.message) {
    return Error{.code = Code::invalid_argument,
                 .message = "the parameter message is missing",
                 .reason = "MALFORMED_QUERY"};
  }
  std::string bytes = *std::move(query.message);
  if (query.is_base64) {
    auto plain = base64_decode(bytes);
    if (!plain) {
      return Error{.code = Code::invalid_argument,
                   .message = "the parameter message is not base64",
                   .reason = "MALFORMED_QUERY"};
    }
    bytes = *std::move(plain);
  }
  TRY_ASSIGN(const Encoding encoding, read_encoding(query.compression, "parameter compression"));
  if (encoding == Encoding::gzip) {
    TRY_ASSIGN(bytes, gunzip(bytes, bytes_max));
  }
  return parse_message(format, *method.request, bytes);
}

}  // namespace

Dialect::Chosen ConnectDialect::choose(const RawRequest& request) const {
  const Method* method = paths_.find(request.path);
  if (method == nullptr) {
    RawAnswer answer = write_error(unknown_method(request.path), request);
    if (!paths_.knows_service_of(request.path)) answer.status = 404;
    return {.method = nullptr, .refusal = std::move(answer)};
  }
  const bool is_get = may_get(request) && !method->has_side_effects;
  if (request.method != "POST" && !is_get) {
    return {.method = nullptr,
            .refusal = refuse_verb(method->has_side_effects ? "POST, OPTIONS"
                                                            : "GET, HEAD, POST, OPTIONS")};
  }
  if (method->kind != Method::Kind::unary) {
    return {.method = nullptr,
            .refusal = refuse_media_type(request.media_type, ConnectStreamDialect::media_types)};
  }
  if (!format_of(request)) {
    return {.method = nullptr, .refusal = refuse_media_type(request.media_type, media_types)};
  }
  return {.method = method, .refusal = {}};
}

Result<std::optional<Duration>> ConnectDialect::timeout(const RawRequest& request) const {
  return read_connect_timeout(request.header("connect-timeout-ms"));
}

Result<MessagePtr> ConnectDialect::read(const Method& method, RawRequest& request) const {
  TRY(check_version(request.header("connect-protocol-version"), "1", "Connect-Protocol-Version"));
  const MessageFormat format = format_of(request).value_or(MessageFormat::json);
  if (may_get(request)) return read_get(method, request, format, message_bytes_max_);
  TRY_ASSIGN(
      const std::string body,
      decode_body(std::move(request.body), request.header("content-encoding"), message_bytes_max_));
  return parse_message(format, *method.request, body);
}

RawAnswer ConnectDialect::write(const Outcome& outcome, const RawRequest& request) const {
  RawAnswer answer;
  if (outcome.message) {
    const MessageFormat format = format_of(request).value_or(MessageFormat::json);
    answer.headers.emplace_back("Content-Type",
                                format == MessageFormat::proto ? binary_type : json_type);
    answer.body = print_message(format, **outcome.message);
  } else {
    const Error& error = outcome.message.error();
    answer.status = http_status(error.code);
    answer.headers.emplace_back("Content-Type", json_type);
    answer.body = draw_connect_error(error);
    if (error.code == Code::unauthenticated) {
      answer.headers.emplace_back("WWW-Authenticate", "Bearer");
    }
  }
  answer.headers.insert(answer.headers.end(), outcome.headers.begin(), outcome.headers.end());
  for (const auto& [name, value] : outcome.trailers) {
    answer.headers.emplace_back("Trailer-" + name, value);
  }
  compress_body(answer, request);
  return answer;
}

}  // namespace staithe::wire
