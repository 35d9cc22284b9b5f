#include "wire/rest.h"

#include <fmt/format.h>
#include <google/protobuf/descriptor.h>

#include <algorithm>

#include "base/encoding.h"
#include "wire/compression.h"
#include "wire/form_query.h"
#include "wire/json_mapper.h"

namespace staithe::wire {
namespace {

constexpr std::string_view id_segment = "{id}";
constexpr std::string_view json_type = "application/json";
constexpr std::string_view reason_media_type = "WRONG_MEDIA_TYPE";

std::vector<std::string_view> split_path(std::string_view path) {
  std::vector<std::string_view> segments;
  if (!path.starts_with('/')) return segments;
  path.remove_prefix(1);
  while (true) {
    const auto slash = path.find('/');
    segments.push_back(path.substr(0, slash));
    if (slash == std::string_view::npos) return segments;
    path.remove_prefix(slash + 1);
  }
}

bool is_equal_path(const std::vector<std::string>& route,
                   const std::vector<std::string_view>& path) {
  return std::equal(route.begin(), route.end(), path.begin(), path.end(),
                    [](const std::string& wanted, std::string_view given) {
                      return wanted == id_segment ? !given.empty() : wanted == given;
                    });
}

// The segment of a request's path that stands where the route has {id}; nothing if it has none.
std::optional<std::string_view> id_in(std::string_view route, std::string_view path) {
  const std::vector<std::string_view> segments = split_path(route);
  const auto id = std::find(segments.begin(), segments.end(), id_segment);
  if (id == segments.end()) return std::nullopt;
  return split_path(path).at(static_cast<std::size_t>(id - segments.begin()));
}

Error bad_parameter(const std::string& field, std::string_view what) {
  const std::string text = fmt::format("{} {}", field, what);
  return Error{.code = Code::invalid_argument,
               .message = text,
               .reason = "INVALID_FIELD",
               .violations = {{field, text}}};
}

// A plus in a time's offset that nobody escaped has become a space: "T10:00:00 01:00".
std::string restore_offset(std::string text) {
  const auto t = text.find('T');
  const auto space = t == std::string::npos ? std::string::npos : text.find(' ', t);
  if (space != std::string::npos) text[space] = '+';
  return text;
}

Result<void> read_parameter(std::string_view name, std::string value,
                            google::protobuf::Message& message) {
  const auto* field = find_json_field(*message.GetDescriptor(), name);
  // {id} is the path's alone.
  if (field == nullptr || field->name() == "id") return {};
  if (!is_utf8(value)) return bad_parameter(field->json_name(), "must be valid UTF-8");
  JsonValue json;
  json.kind = JsonValue::Kind::string;
  if (field->cpp_type() == google::protobuf::FieldDescriptor::CPPTYPE_BOOL &&
      (value == "true" || value == "false")) {
    json.kind = JsonValue::Kind::boolean;
    json.boolean = value == "true";
  }
  json.text = field->cpp_type() == google::protobuf::FieldDescriptor::CPPTYPE_MESSAGE
                  ? restore_offset(std::move(value))
                  : std::move(value);
  auto read = parse_json_field(json, *field, Spelling::rest, message);
  if (read) return {};
  // An element of a repeated parameter is named by the parameter.
  return std::move(read).error();
}

Result<void> read_query(std::string_view query, google::protobuf::Message& message) {
  TRY_ASSIGN(auto pairs, read_form_query(query));
  for (auto& [name, value] : pairs) TRY(read_parameter(name, std::move(value), message));
  return {};
}

// A body without a media type is read as JSON.
Result<void> check_media_type(const RawRequest& request) {
  if (request.body.empty() || !request.header("content-type")) return {};
  const std::string& type = request.media_type;
  if (type == json_type) return {};
  return Error{
      .code = Code::invalid_argument,
      .message = fmt::format("the media type {} is not understood; send {}", type, json_type),
      .reason = std::string(reason_media_type)};
}

std::string get_id(const google::protobuf::Message& message) {
  const auto* field = message.GetDescriptor()->FindFieldByName("id");
  return message.GetReflection()->GetString(message, field);
}

void set_id(google::protobuf::Message& message, const std::string& id) {
  const auto* field = message.GetDescriptor()->FindFieldByName("id");
  message.GetReflection()->SetString(&message, field, id);
}

}  // namespace

RestDialect::RestDialect(const MethodTable& table, RestErrorCode error_code,
                         std::size_t body_bytes_max)
    : error_code_(error_code), body_bytes_max_(body_bytes_max) {
  std::map<std::string, Route> by_path;
  for (const Method& method : table) {
    if (method.verb.empty()) continue;
    Route& route = by_path[method.path];
    if (route.segments.empty()) {
      for (const std::string_view segment : split_path(method.path))
        route.segments.emplace_back(segment);
    }
    route.by_verb[method.verb] = &method;
  }
  for (auto& [path, route] : by_path) routes_.push_back(std::move(route));
  std::stable_partition(routes_.begin(), routes_.end(), [](const Route& route) {
    return std::find(route.segments.begin(), route.segments.end(), id_segment) ==
           route.segments.end();
  });
}

const RestDialect::Route* RestDialect::find_route(std::string_view path) const {
  const std::vector<std::string_view> segments = split_path(path);
  for (const Route& route : routes_) {
    if (is_equal_path(route.segments, segments)) return &route;
  }
  return nullptr;
}

Dialect::Chosen RestDialect::choose(const RawRequest& request) const {
  const Route* route = find_route(request.path);
  if (route == nullptr) {
    return {.method = nullptr,
            .refusal = write_error({.code = Code::not_found,
                                    .message = fmt::format("nothing is served at {}", request.path),
                                    .reason = "UNKNOWN_PATH"},
                                   request)};
  }
  // HEAD is GET without its body, which the codec leaves out (RFC 9110 section 9.3.2).
  const auto found = route->by_verb.find(request.method == "HEAD" ? "GET" : request.method);
  if (found == route->by_verb.end()) {
    std::string allowed;
    for (const auto& [verb, method] : route->by_verb) {
      allowed += verb + ", ";
      if (verb == "GET") allowed += "HEAD, ";
    }
    allowed += "OPTIONS";
    RawAnswer answer = write_error(
        {.code = Code::unimplemented,
         .message = fmt::format("{} is not offered here; use {}", request.method, allowed),
         .reason = "WRONG_METHOD"},
        request);
    answer.status = 405;
    answer.headers.emplace_back("Allow", allowed);
    return {.method = nullptr, .refusal = std::move(answer)};
  }
  return {.method = found->second, .refusal = {}};
}

Result<MessagePtr> RestDialect::read(const Method& method, RawRequest& request) const {
  MessagePtr message(method.request->New());
  if (method.verb == "POST" || method.verb == "PATCH") {
    TRY(check_media_type(request));
    TRY_ASSIGN(
        const std::string body,
        decode_body(std::move(request.body), request.header("content-encoding"), body_bytes_max_));
    if (!body.empty()) TRY(parse_json(body, Spelling::rest, *message));
  } else {
    TRY(read_query(request.query, *message));
  }
  if (const auto segment = id_in(method.path, request.path)) {
    const auto id = percent_decode(*segment);
    if (!id || !is_utf8(*id)) return bad_parameter("id", "must be a valid UUID");
    const std::string in_body = get_id(*message);
    if (!in_body.empty() && !equals_ignoring_case(in_body, *id)) {
      const std::string text = "id in body does not match id in path";
      return Error{.code = Code::invalid_argument,
                   .message = text,
                   .reason = "ID_MISMATCH",
                   .violations = {{"id", text}}};
    }
    set_id(*message, *id);
  }
  return message;
}

RawAnswer RestDialect::write(const Outcome& outcome, const RawRequest& request) const {
  RawAnswer answer;
  answer.headers.emplace_back("Content-Type", json_type);
  if (outcome.message) {
    answer.body = print_json(**outcome.message, Spelling::rest);
  } else {
    const Error& error = outcome.message.error();
    answer.status = http_status(error.code);
    if (error.reason == "BODY_TOO_LARGE") answer.status = 413;
    if (error.reason == reason_media_type) answer.status = 415;
    if (error.code == Code::unauthenticated) {
      answer.headers.emplace_back("WWW-Authenticate", "Bearer");
    }
    answer.body = draw_rest_error(error, error_code_);
  }
  compress_body(answer, request);
  return answer;
}

}  // namespace staithe::wire
