#include "gateway/request_plan.h"

#include <fmt/format.h>

#include <optional>

#include "base/encoding.h"

namespace staithe::gateway {
namespace {

constexpr std::string_view gateway_prefix = "/gateways/";
// Names with more slashes than this are not looked for in an unencoded path.
constexpr std::size_t model_segments_max = 16;

struct Target {
  std::string path;        // begins with a slash; without doubled slashes or one at the end
  std::string_view query;  // with its question mark, or empty
};

Target split_target(std::string_view target) {
  const auto mark = target.find('?');
  Target split;
  if (mark != std::string_view::npos) split.query = target.substr(mark);
  split.path = "/";
  for (const char c : target.substr(0, mark)) {
    if (c != '/' || split.path.back() != '/') split.path += c;
  }
  if (split.path.size() > 1 && split.path.back() == '/') split.path.pop_back();
  return split;
}

bool has_dot_segment(std::string_view path) {
  std::optional<std::string> decoded;
  if (path.find('%') != std::string_view::npos) {
    decoded = percent_decode(path);
    if (!decoded) return true;
    path = *decoded;
  }
  while (!path.empty()) {
    const auto slash = path.find('/');
    const std::string_view segment = path.substr(0, slash);
    if (segment == "." || segment == "..") return true;
    path.remove_prefix(slash == std::string_view::npos ? path.size() : slash + 1);
  }
  return false;
}

// The paths that engines serve and we pass on.
bool is_engine_path(std::string_view path) {
  return path.starts_with("/v1/") || path == "/tokenize" || path == "/detokenize";
}

struct PathModel {
  const ServedModel* model = nullptr;
  std::string_view rest;  // of the path, behind the model's segments
};

// The model named by the leading segments of a raw path: the longest name wins, among those that
// leave a path we serve if there is one. Segments are told apart before decoding, so that %2F stays
// within one; each is decoded once.
PathModel match_model(const ServedGateway& gateway, std::string_view path) {
  PathModel longest;
  PathModel longest_served;
  std::string name;
  std::size_t at = 0;
  for (std::size_t i = 0; i < model_segments_max && at < path.size(); ++i) {
    const auto end = std::min(path.find('/', at + 1), path.size());
    const auto segment = percent_decode(path.substr(at + 1, end - at - 1));
    if (!segment) break;
    if (i > 0) name += '/';
    name += *segment;
    if (const ServedModel* model = gateway.find_model(name)) {
      longest = {model, path.substr(end)};
      if (is_engine_path(longest.rest)) longest_served = longest;
    }
    at = end;
  }
  return longest_served.model != nullptr ? longest_served : longest;
}

// What stands where a model's name should, for the message.
std::string unmatched_name(std::string_view path) {
  const std::string_view segments = path.substr(1, path.find("/v1/") - 1);
  return percent_decode(segments).value_or(std::string(segments));
}

ApiError unknown_path(std::string_view path) {
  if (path.starts_with("/v1/v1/") || path == "/v1/v1") {
    return errors::not_found(
        "This path has /v1 twice. A client that adds /v1 itself wants the base URL without it.");
  }
  return errors::not_found("This gateway does not serve this path. Its paths begin with /v1/.");
}

// The models' own paths; nothing for any other.
std::optional<RequestPlan> plan_model_list(const ServedGateway& gateway,
                                           const net::RequestHead& head, std::string_view path,
                                           const ServedModel* only) {
  constexpr std::string_view list_path = "/v1/models";
  if (!path.starts_with(list_path)) return std::nullopt;
  const std::string_view rest = path.substr(list_path.size());
  if (!rest.empty() && !rest.starts_with('/')) return std::nullopt;
  if (head.method != "GET" && head.method != "HEAD") {
    return errors::method_not_allowed("The models can be read only.", "GET, HEAD");
  }
  if (rest.empty()) return ListModels{only};
  const auto name = percent_decode(rest.substr(1));
  const ServedModel* model = name ? gateway.find_model(*name) : nullptr;
  if (model == nullptr || (only != nullptr && model != only)) {
    return errors::model_not_found(name.value_or(std::string(rest.substr(1))));
  }
  return ShowModel{model};
}

RequestPlan plan_forward(const net::RequestHead& head, std::string_view path,
                         std::string_view query, const ServedModel* model) {
  if (!is_engine_path(path) || path.starts_with("/v1/v1/") || path == "/v1/v1") {
    return unknown_path(path);
  }
  if (head.method == "OPTIONS" || head.method == "TRACE" || head.method == "CONNECT") {
    return errors::method_not_allowed("This gateway does not serve this method.", "GET, POST");
  }
  if (model == nullptr && head.body.kind == net::BodyFraming::Kind::none &&
      (head.method == "GET" || head.method == "HEAD" || head.method == "DELETE")) {
    return errors::method_not_allowed(
        "This gateway finds the model in the request's body, so the request needs one.", "POST");
  }
  return Forward{fmt::format("{}{}", path, query), model};
}

RequestPlan plan_by_header(const ServedGateway& gateway, const net::RequestHead& head,
                           const Target& target) {
  const std::size_t count = head.headers.count(gateway.header_name);
  if (count == 0) {
    return errors::bad_request(
        fmt::format("The request must name the model in the header {}.", gateway.header_name));
  }
  if (count > 1) {
    return errors::bad_request(
        fmt::format("The header {} is there more than once.", gateway.header_name));
  }
  const std::string_view name = *head.headers.find(gateway.header_name);
  const ServedModel* model = gateway.find_model(name);
  if (model == nullptr) return errors::model_not_found(name);
  return plan_forward(head, target.path, target.query, model);
}

RequestPlan plan_by_path(const ServedGateway& gateway, const net::RequestHead& head,
                         const Target& target) {
  const PathModel match = match_model(gateway, target.path);
  if (match.model == nullptr) {
    if (is_engine_path(target.path)) {
      return errors::not_found(
          "This gateway finds the model in the path: /MODEL/v1/..., with the model's name "
          "percent-encoded.");
    }
    return errors::model_not_found(unmatched_name(target.path));
  }
  if (auto plan = plan_model_list(gateway, head, match.rest, match.model)) return *std::move(plan);
  return plan_forward(head, match.rest, target.query, match.model);
}

}  // namespace

RequestPlan plan_request(const ServedGateway& gateway, const net::RequestHead& head,
                         std::string_view raw_target) {
  const Target target = split_target(raw_target);
  if (has_dot_segment(target.path)) return unknown_path(target.path);
  if (auto plan = plan_model_list(gateway, head, target.path, nullptr)) return *std::move(plan);
  switch (gateway.routing) {
    case Routing::header:
      // A path that nobody serves is told as such, whatever the header says.
      if (!is_engine_path(target.path)) return unknown_path(target.path);
      return plan_by_header(gateway, head, target);
    case Routing::path:
      return plan_by_path(gateway, head, target);
    case Routing::body:
      break;
  }
  return plan_forward(head, target.path, target.query, nullptr);
}

bool is_health_check(const net::RequestHead& head, std::string_view target) {
  return (head.method == "GET" || head.method == "HEAD") && split_target(target).path == "/health";
}

Located locate(const RouteTable& table, const net::RequestHead& head) {
  std::string_view target = head.target;
  if (target.starts_with(gateway_prefix)) {
    target.remove_prefix(gateway_prefix.size());
    const auto end = std::min(target.find_first_of("/?"), target.size());
    if (const ServedGateway* gateway = table.find_by_id(target.substr(0, end))) {
      return {gateway, target.substr(end)};
    }
  }
  return {table.find_by_host(head.headers.find("host").value_or("")), head.target};
}

bool is_for_data_plane(const RouteTable& table, const net::RequestHead& head) {
  return head.target.starts_with(gateway_prefix) || locate(table, head).gateway != nullptr;
}

}  // namespace staithe::gateway
