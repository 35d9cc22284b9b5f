#include "net/head_encoder.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <initializer_list>
#include <iterator>

#include "base/encoding.h"

namespace staithe::net {
namespace {

void append_field(std::string& out, std::string_view name, std::string_view value) {
  out += name;
  out += ": ";
  const std::size_t start = out.size();
  out += value;
  std::replace_if(
      out.begin() + static_cast<std::ptrdiff_t>(start), out.end(),
      [](char c) { return c == '\r' || c == '\n' || c == '\0'; }, ' ');
  out += "\r\n";
}

void append_fields(std::string& out, const HeaderList& headers,
                   std::initializer_list<std::string_view> left_out) {
  for (const HeaderView& field : headers) {
    const bool is_left_out = std::any_of(
        left_out.begin(), left_out.end(),
        [&field](std::string_view name) { return equals_ignoring_case(field.name, name); });
    if (!is_left_out) append_field(out, field.name, field.value);
  }
}

void append_framing(std::string& out, const BodyFraming& body) {
  if (body.kind == BodyFraming::Kind::length) {
    fmt::format_to(std::back_inserter(out), "Content-Length: {}\r\n", body.length);
  } else if (body.kind == BodyFraming::Kind::chunked) {
    out += "Transfer-Encoding: chunked\r\n";
  }
}

bool expects_body(std::string_view method) {
  return method == "POST" || method == "PUT" || method == "PATCH";
}

void append_connection(std::string& out, ConnectionOption connection) {
  if (connection == ConnectionOption::close) out += "Connection: close\r\n";
  if (connection == ConnectionOption::keep_alive) out += "Connection: keep-alive\r\n";
}

}  // namespace

void append_answer_head(std::string& out, const AnswerHead& head, const AnswerFraming& framing) {
  fmt::format_to(std::back_inserter(out), "HTTP/1.1 {} {}\r\n", head.status,
                 reason_phrase(head.status));
  append_fields(out, head.headers, {"content-length", "transfer-encoding", "connection", "date"});
  append_field(out, "Date", framing.date);
  append_framing(out, framing.body);
  append_connection(out, framing.connection);
  out += "\r\n";
}

void append_request_head(std::string& out, const ClientRequest& request, std::string_view host,
                         ConnectionOption connection) {
  out += request.method;
  out += ' ';
  out += request.target;
  out += " HTTP/1.1\r\n";
  append_field(out, "Host", host);
  append_fields(out, request.headers,
                {"content-length", "transfer-encoding", "connection", "host"});
  // An empty body is said to be empty where one is expected (RFC 9110 section 8.6).
  const bool is_empty = request.body.kind == BodyFraming::Kind::none;
  const bool is_said = is_empty && expects_body(request.method);
  append_framing(out, is_said ? BodyFraming{BodyFraming::Kind::length, 0} : request.body);
  append_connection(out, connection);
  out += "\r\n";
}

void append_chunked_end(std::string& out, const HeaderList& trailers) {
  out += "0\r\n";
  append_fields(out, trailers, {"content-length", "transfer-encoding", "connection", "host"});
  out += "\r\n";
}

std::string_view HttpDate::at(Timestamp time) {
  using namespace std::chrono;
  const auto second = floor<seconds>(time);
  if (second.time_since_epoch().count() == second_) return text_;
  second_ = second.time_since_epoch().count();

  constexpr std::array<std::string_view, 7> days = {"Sun", "Mon", "Tue", "Wed",
                                                    "Thu", "Fri", "Sat"};
  constexpr std::array<std::string_view, 12> months = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                       "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  const auto day = floor<std::chrono::days>(second);
  const year_month_day date(day);
  const hh_mm_ss clock(second - day);
  text_ =
      fmt::format("{}, {:02} {} {:04} {:02}:{:02}:{:02} GMT", days[weekday(day).c_encoding()],
                  static_cast<unsigned>(date.day()),
                  months[static_cast<unsigned>(date.month()) - 1], static_cast<int>(date.year()),
                  clock.hours().count(), clock.minutes().count(), clock.seconds().count());
  return text_;
}

}  // namespace staithe::net
