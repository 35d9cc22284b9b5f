#include "net/http_message.h"

#include <algorithm>

#include "base/encoding.h"

namespace staithe::net {

std::optional<std::string_view> HeaderList::find(std::string_view name) const {
  for (const HeaderView& field : fields_) {
    if (equals_ignoring_case(field.name, name)) return field.value;
  }
  return std::nullopt;
}

std::size_t HeaderList::count(std::string_view name) const {
  return static_cast<std::size_t>(std::count_if(
      fields_.begin(), fields_.end(),
      [name](const HeaderView& field) { return equals_ignoring_case(field.name, name); }));
}

OwnedHeaders::OwnedHeaders(const HeaderList& fields) {
  std::size_t size = 0;
  for (const HeaderView& field : fields) size += field.name.size() + field.value.size();
  bytes_ = std::make_unique_for_overwrite<char[]>(size);
  char* end = bytes_.get();
  const auto keep = [&end](std::string_view text) {
    const std::string_view kept(end, text.copy(end, text.size()));
    end += kept.size();
    return kept;
  };
  fields_.reserve(fields.size());
  for (const HeaderView& field : fields) fields_.add(keep(field.name), keep(field.value));
}

// The registry of RFC 9110 section 16.2.1.
std::string_view reason_phrase(std::uint16_t status) {
  switch (status) {
    case 100:
      return "Continue";
    case 101:
      return "Switching Protocols";
    case 103:
      return "Early Hints";
    case 200:
      return "OK";
    case 201:
      return "Created";
    case 202:
      return "Accepted";
    case 203:
      return "Non-Authoritative Information";
    case 204:
      return "No Content";
    case 205:
      return "Reset Content";
    case 206:
      return "Partial Content";
    case 300:
      return "Multiple Choices";
    case 301:
      return "Moved Permanently";
    case 302:
      return "Found";
    case 303:
      return "See Other";
    case 304:
      return "Not Modified";
    case 307:
      return "Temporary Redirect";
    case 308:
      return "Permanent Redirect";
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 402:
      return "Payment Required";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 406:
      return "Not Acceptable";
    case 407:
      return "Proxy Authentication Required";
    case 408:
      return "Request Timeout";
    case 409:
      return "Conflict";
    case 410:
      return "Gone";
    case 411:
      return "Length Required";
    case 412:
      return "Precondition Failed";
    case 413:
      return "Content Too Large";
    case 414:
      return "URI Too Long";
    case 415:
      return "Unsupported Media Type";
    case 416:
      return "Range Not Satisfiable";
    case 417:
      return "Expectation Failed";
    case 421:
      return "Misdirected Request";
    case 422:
      return "Unprocessable Content";
    case 425:
      return "Too Early";
    case 426:
      return "Upgrade Required";
    case 428:
      return "Precondition Required";
    case 429:
      return "Too Many Requests";
    case 431:
      return "Request Header Fields Too Large";
    case 451:
      return "Unavailable For Legal Reasons";
    case 499:
      return "Client Closed Request";
    case 500:
      return "Internal Server Error";
    case 501:
      return "Not Implemented";
    case 502:
      return "Bad Gateway";
    case 503:
      return "Service Unavailable";
    case 504:
      return "Gateway Timeout";
    case 505:
      return "HTTP Version Not Supported";
    case 507:
      return "Insufficient Storage";
    default:
      return "Status";
  }
}

bool is_hop_by_hop(std::string_view name) {
  constexpr std::string_view proxy_prefix = "proxy-";
  if (name.size() > proxy_prefix.size() &&
      equals_ignoring_case(name.substr(0, proxy_prefix.size()), proxy_prefix)) {
    return true;
  }
  for (const std::string_view known :
       {"connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"}) {
    if (equals_ignoring_case(name, known)) return true;
  }
  return false;
}

}  // namespace staithe::net
