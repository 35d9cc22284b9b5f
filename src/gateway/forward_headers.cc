#include "gateway/forward_headers.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

#include "base/encoding.h"

namespace staithe::gateway {
namespace {

constexpr std::size_t request_id_bytes_max = 128;
constexpr std::array<std::string_view, 2> own_field_prefixes = {"x-inference-", "staithe-"};

std::string_view trim(std::string_view text) {
  const auto is_blank = [](char c) { return c == ' ' || c == '\t'; };
  while (!text.empty() && is_blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_blank(text.back())) text.remove_suffix(1);
  return text;
}

template <std::size_t count>
bool is_one_of(std::string_view name, const std::array<std::string_view, count>& names) {
  return std::any_of(names.begin(), names.end(),
                     [name](std::string_view one) { return equals_ignoring_case(name, one); });
}

// Fields that a message's own Connection fields declare to be for this hop only.
class NamedByConnection {
 public:
  explicit NamedByConnection(const net::HeaderList& headers) {
    for (const net::HeaderView& field : headers) {
      if (!equals_ignoring_case(field.name, "connection")) continue;
      std::string_view rest = field.value;
      while (!rest.empty()) {
        const auto comma = rest.find(',');
        const std::string_view name = trim(rest.substr(0, comma));
        if (!equals_ignoring_case(name, "keep-alive") && !equals_ignoring_case(name, "close")) {
          names_.push_back(name);
        }
        rest.remove_prefix(comma == std::string_view::npos ? rest.size() : comma + 1);
      }
    }
  }
  bool has(std::string_view name) const {
    return std::any_of(names_.begin(), names_.end(),
                       [name](std::string_view one) { return equals_ignoring_case(name, one); });
  }

 private:
  std::vector<std::string_view> names_;
};

// "K" itself, or "Scheme K".
bool carries_key(std::string_view value, std::string_view key) {
  if (key.empty() || !value.ends_with(key)) return false;
  value.remove_suffix(key.size());
  return value.empty() || value.back() == ' ';
}

bool is_kept_from_engine(std::string_view name) {
  static constexpr std::array<std::string_view, 9> names = {
      "host",         "content-length", "authorization",   "cookie",           "expect",
      "x-request-id", "cookie2",        "x-forwarded-for", "x-forwarded-proto"};
  return is_one_of(name, names) || net::is_hop_by_hop(name) ||
         std::any_of(own_field_prefixes.begin(), own_field_prefixes.end(),
                     [name](std::string_view one) {
                       return equals_ignoring_case(name.substr(0, one.size()), one);
                     });
}

bool is_kept_from_client(std::string_view name) {
  static constexpr std::array<std::string_view, 5> names = {
      "content-length", "date", "x-request-id", "x-inference-deployment", "staithe-routing"};
  return is_one_of(name, names) || net::is_hop_by_hop(name);
}

// `tracestate` belongs to the trace that `traceparent` names.
bool is_about_another_trace(std::string_view name, const ForwardedFor& caller) {
  if (equals_ignoring_case(name, "traceparent")) return true;
  return !caller.is_trace_continued && equals_ignoring_case(name, "tracestate");
}

std::string_view scheme_of(const net::RequestHead& head, const ForwardedFor& caller) {
  const std::string_view given = head.headers.find("x-forwarded-proto").value_or("");
  return caller.is_secure || equals_ignoring_case(trim(given), "https") ? "https" : "http";
}

}  // namespace

void StoredHeaders::add(std::string_view name, std::string_view value) {
  const std::array<std::uint32_t, 2> lengths = {static_cast<std::uint32_t>(name.size()),
                                                static_cast<std::uint32_t>(value.size())};
  bytes_.append(reinterpret_cast<const char*>(lengths.data()), sizeof lengths);
  bytes_.append(name);
  bytes_.append(value);
}

void StoredHeaders::append_to(net::HeaderList& list) const {
  std::string_view rest = bytes_;
  while (!rest.empty()) {
    std::array<std::uint32_t, 2> lengths;
    std::memcpy(lengths.data(), rest.data(), sizeof lengths);
    rest.remove_prefix(sizeof lengths);
    list.add(rest.substr(0, lengths[0]), rest.substr(lengths[0], lengths[1]));
    rest.remove_prefix(lengths[0] + lengths[1]);
  }
}

StoredHeaders headers_for_engine(const net::RequestHead& head, const ForwardedFor& caller) {
  StoredHeaders kept;
  const NamedByConnection hop(head.headers);
  std::string forwarded_for;
  for (const net::HeaderView& field : head.headers) {
    if (equals_ignoring_case(field.name, "x-forwarded-for") && !field.value.empty()) {
      forwarded_for += field.value;
      forwarded_for += ", ";
    }
    if (is_kept_from_engine(field.name) || hop.has(field.name)) continue;
    if (carries_key(field.value, caller.key)) continue;
    if (!caller.traceparent.empty() && is_about_another_trace(field.name, caller)) continue;
    kept.add(field.name, field.value);
  }
  forwarded_for += caller.peer_address;
  kept.add("X-Forwarded-For", forwarded_for);
  kept.add("X-Forwarded-Proto", scheme_of(head, caller));
  kept.add("X-Request-Id", caller.request_id);
  if (!caller.traceparent.empty()) kept.add("traceparent", caller.traceparent);
  return kept;
}

std::string without_key(std::string target, std::string_view key) {
  const auto mark = target.find('?');
  if (key.empty() || mark == std::string::npos) return target;
  const std::string_view query = std::string_view(target).substr(mark + 1);
  std::string kept;
  bool is_found = false;
  for (std::size_t at = 0; at <= query.size();) {
    const auto end = std::min(query.find('&', at), query.size());
    const std::string_view pair = query.substr(at, end - at);
    const auto equals = pair.find('=');
    const std::string_view raw =
        equals == std::string_view::npos ? std::string_view{} : pair.substr(equals + 1);
    if (raw == key || percent_decode(raw) == key) {
      is_found = true;
    } else {
      if (!kept.empty()) kept += '&';
      kept += pair;
    }
    at = end + 1;
  }
  if (!is_found) return target;
  target.resize(mark);
  return kept.empty() ? target : target + "?" + kept;
}

std::string_view given_request_id(const net::RequestHead& head) {
  const std::string_view id = head.headers.find("x-request-id").value_or(std::string_view{});
  const bool is_sane = id.size() <= request_id_bytes_max &&
                       std::all_of(id.begin(), id.end(), [](char c) { return c > ' ' && c < 127; });
  return is_sane ? id : std::string_view{};
}

namespace {

bool is_about_cors(std::string_view name) {
  constexpr std::string_view prefix = "access-control-";
  return equals_ignoring_case(name.substr(0, prefix.size()), prefix);
}

}  // namespace

void add_headers_for_client(const net::ResponseHead& head, AnswerKind kind, EngineCors cors,
                            net::HeaderList& list) {
  const NamedByConnection hop(head.headers);
  bool has_cache_control = false;
  bool has_accel_buffering = false;
  for (const net::HeaderView& field : head.headers) {
    if (is_kept_from_client(field.name) || hop.has(field.name)) continue;
    if (kind == AnswerKind::error_text && equals_ignoring_case(field.name, "content-type"))
      continue;
    if (cors == EngineCors::is_removed && is_about_cors(field.name)) continue;
    has_cache_control |= equals_ignoring_case(field.name, "cache-control");
    has_accel_buffering |= equals_ignoring_case(field.name, "x-accel-buffering");
    list.add(field.name, field.value);
  }
  if (kind == AnswerKind::error_text) list.add("content-type", "application/json");
  if (kind != AnswerKind::event_stream) return;
  // Proxies between us and the client are asked to pass events on as they come.
  if (!has_cache_control) list.add("cache-control", "no-cache, no-transform");
  if (!has_accel_buffering) list.add("x-accel-buffering", "no");
}

namespace {

bool has_type(const net::ResponseHead& head, std::string_view wanted) {
  const std::string_view type = head.headers.find("content-type").value_or(std::string_view{});
  return equals_ignoring_case(trim(type.substr(0, type.find(';'))), wanted);
}

}  // namespace

bool is_event_stream(const net::ResponseHead& head) {
  return has_type(head, "text/event-stream");
}

bool is_error_text(const net::ResponseHead& head) {
  const bool is_text = has_type(head, "text/plain") || has_type(head, "text/html");
  return head.status >= 400 && is_text && !head.headers.find("content-encoding") &&
         head.body.kind != net::BodyFraming::Kind::none;
}

}  // namespace staithe::gateway
