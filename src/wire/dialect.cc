#include "wire/dialect.h"

#include <fmt/format.h>

#include <array>

#include "base/check.h"
#include "base/encoding.h"

namespace staithe::wire {

std::string_view Dialect::name() const {
  constexpr std::array<std::string_view, dialect_count> names = {
      "rest", "connect", "connect_stream", "grpc", "grpc_web"};
  return names[static_cast<std::size_t>(id())];
}

std::unique_ptr<StreamCodec> Dialect::open(const Method&, const RawRequest&) const {
  CHECK(false);
  return nullptr;
}

RpcPaths::RpcPaths(const MethodTable& table) {
  for (const Method& method : table) {
    by_path_["/" + method.service + "/" + method.name] = &method;
    services_.insert(method.service);
  }
}

const Method* RpcPaths::find(std::string_view path) const {
  const auto found = by_path_.find(path);
  return found == by_path_.end() ? nullptr : found->second;
}

bool RpcPaths::knows_service_of(std::string_view path) const {
  if (!path.starts_with('/')) return false;
  const auto slash = path.find('/', 1);
  return slash != std::string_view::npos && services_.contains(path.substr(1, slash - 1));
}

std::string media_type_of(std::string_view content_type) {
  std::string_view type = content_type.substr(0, content_type.find(';'));
  while (!type.empty() && (type.back() == ' ' || type.back() == '\t')) type.remove_suffix(1);
  while (!type.empty() && (type.front() == ' ' || type.front() == '\t')) type.remove_prefix(1);
  return to_lower(type);
}

RawRequest make_raw_request(const net::RequestHead& head) {
  RawRequest request{.method = std::string(head.method),
                     .path = std::string(head.path()),
                     .query = std::string(head.query()),
                     .headers = net::OwnedHeaders(head.headers)};
  if (const auto type = request.header("content-type")) request.media_type = media_type_of(*type);
  return request;
}

RawAnswer plain_refusal(std::uint16_t status, std::string_view text) {
  RawAnswer answer{.status = status, .headers = {{"Content-Type", "text/plain; charset=utf-8"}}};
  answer.body = fmt::format("{}\n", text);
  return answer;
}

RawAnswer refuse_verb(std::string_view allowed) {
  RawAnswer answer = plain_refusal(405, fmt::format("use one of {}", allowed));
  answer.headers.emplace_back("Allow", allowed);
  return answer;
}

RawAnswer refuse_media_type(std::string_view given, std::string_view accepted) {
  RawAnswer answer = plain_refusal(
      415, fmt::format("the media type \"{}\" is not understood; send one of {}", given, accepted));
  answer.headers.emplace_back("Accept-Post", accepted);
  return answer;
}

Error unknown_method(std::string_view path) {
  return {.code = Code::unimplemented,
          .message = fmt::format("there is no method {}", path),
          .reason = "UNKNOWN_METHOD"};
}

Error body_too_large(std::size_t bytes_max) {
  return {.code = Code::resource_exhausted,
          .message = fmt::format("the body is larger than {} bytes", bytes_max),
          .reason = "BODY_TOO_LARGE"};
}

}  // namespace staithe::wire
