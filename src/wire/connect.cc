#include "wire/connect.h"

#include <fmt/format.h>

#include "wire/error_drawing.h"
#include "wire/json_mapper.h"

namespace staithe::wire {
namespace {

constexpr std::string_view binary_type = "application/proto";
constexpr std::string_view json_type = "application/json";

bool is_binary(const RawRequest& request) {
  return request.content_type && media_type_of(*request.content_type) == binary_type;
}

}  // namespace

ConnectDialect::ConnectDialect(const MethodTable& table, std::size_t body_bytes_max)
    : body_bytes_max_(body_bytes_max) {
  for (const Method& method : table) {
    by_path_["/" + method.service + "/" + method.name] = &method;
    services_.insert(method.service);
  }
}

bool ConnectDialect::claims(std::string_view path) const {
  if (!path.starts_with('/')) return false;
  const auto slash = path.find('/', 1);
  return slash != std::string_view::npos &&
         services_.contains(std::string(path.substr(1, slash - 1)));
}

Dialect::Chosen ConnectDialect::choose(const RawRequest& request) const {
  const auto found = by_path_.find(request.path);
  if (found == by_path_.end()) {
    return {.method = nullptr,
            .refusal = write_error(
                {.code = Code::unimplemented,
                 .message = fmt::format("there is no method {}", request.path.substr(1)),
                 .reason = "UNKNOWN_METHOD"})};
  }
  if (request.method != "POST") {
    // No method is marked free of side effects, so there is no Connect GET either.
    RawAnswer answer = write_error({.code = Code::unimplemented,
                                    .message = "methods are called with POST",
                                    .reason = "WRONG_METHOD"});
    answer.status = 405;
    answer.headers.emplace_back("Allow", "POST");
    return {.method = nullptr, .refusal = std::move(answer)};
  }
  const std::string type =
      request.content_type ? media_type_of(*request.content_type) : std::string{};
  if (type != binary_type && type != json_type) {
    RawAnswer answer =
        write_error({.code = Code::invalid_argument,
                     .message = fmt::format("the media type \"{}\" is not understood; send "
                                            "application/proto or application/json",
                                            type),
                     .reason = "WRONG_MEDIA_TYPE"});
    answer.status = 415;
    answer.headers.emplace_back("Accept-Post", "application/proto, application/json");
    return {.method = nullptr, .refusal = std::move(answer)};
  }
  return {.method = found->second, .refusal = {}};
}

Result<MessagePtr> ConnectDialect::read(const Method& method, RawRequest& request) const {
  if (request.connect_protocol_version && *request.connect_protocol_version != "1") {
    return Error{.code = Code::invalid_argument,
                 .message = "Connect-Protocol-Version must be 1",
                 .reason = "WRONG_PROTOCOL_VERSION"};
  }
  TRY_ASSIGN(const std::string body,
             decode_body(std::move(request.body), request.content_encoding, body_bytes_max_));
  MessagePtr message(method.request->New());
  if (!is_binary(request)) {
    TRY(parse_json(body, Spelling::descriptor, *message));
  } else if (!message->ParseFromString(body)) {
    return Error{.code = Code::invalid_argument,
                 .message = fmt::format("the body is not a {}", message->GetTypeName()),
                 .reason = "MALFORMED_BODY"};
  }
  return message;
}

RawAnswer ConnectDialect::write(const google::protobuf::Message& message,
                                const RawRequest& request) const {
  if (is_binary(request)) {
    return {.status = 200,
            .headers = {{"Content-Type", std::string(binary_type)}},
            .body = message.SerializeAsString()};
  }
  return {.status = 200,
          .headers = {{"Content-Type", std::string(json_type)}},
          .body = print_json(message, Spelling::descriptor)};
}

RawAnswer ConnectDialect::write_error(const Error& error) const {
  RawAnswer answer{.status = http_status(error.code),
                   .headers = {{"Content-Type", std::string(json_type)}},
                   .body = draw_connect_error(error)};
  if (error.code == Code::unauthenticated)
    answer.headers.emplace_back("WWW-Authenticate", "Bearer");
  return answer;
}

}  // namespace staithe::wire
