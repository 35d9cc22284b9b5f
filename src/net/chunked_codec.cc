#include "net/chunked_codec.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "net/head_parser.h"

namespace staithe::net {
namespace {

constexpr std::uint64_t chunk_size_max = std::uint64_t{1} << 60;

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

bool is_text(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return (byte >= 0x20 && byte != 0x7f) || c == '\t';
}

}  // namespace

ChunkedDecoder::Outcome ChunkedDecoder::next(std::string_view& input, std::string_view& data) {
  while (!input.empty() && state_ != State::end && state_ != State::bad) {
    if (state_ == State::data) {
      const std::size_t size = std::min<std::uint64_t>(left_, input.size());
      data = input.substr(0, size);
      input.remove_prefix(size);
      left_ -= size;
      if (left_ == 0) state_ = State::data_cr;
      return Outcome::data;
    }
    state_ = step(input.front());
    input.remove_prefix(1);
  }
  if (state_ == State::end) return Outcome::end;
  return state_ == State::bad ? Outcome::bad : Outcome::need_more;
}

ChunkedDecoder::State ChunkedDecoder::step(char c) {
  switch (state_) {
    case State::size_first:
      left_ = 0;
      read_ = 0;
      return hex_digit(c) >= 0 ? step_size(c) : State::bad;
    case State::size:
    case State::size_gap:
    case State::extension:
      return step_size(c);
    case State::size_lf:
      if (c != '\n') return State::bad;
      read_ = 0;
      return left_ > 0 ? State::data : State::trailer_first;
    case State::data_cr:
      return c == '\r' ? State::data_lf : State::bad;
    case State::data_lf:
      return c == '\n' ? State::size_first : State::bad;
    case State::trailer_first:
    case State::trailer_name:
    case State::trailer_value:
    case State::trailer_lf:
      return step_trailer(c);
    case State::end_lf:
      return c == '\n' ? State::end : State::bad;
    case State::data:
    case State::end:
    case State::bad:
      break;
  }
  return State::bad;
}

ChunkedDecoder::State ChunkedDecoder::step_size(char c) {
  if (++read_ > chunk_line_bytes_max) return State::bad;
  if (c == '\r' && state_ != State::size_gap) return State::size_lf;
  if (state_ == State::extension) return is_text(c) ? State::extension : State::bad;
  if (c == ';') return State::extension;
  if (c == ' ' || c == '\t') return State::size_gap;
  const int digit = hex_digit(c);
  if (digit < 0 || state_ == State::size_gap || left_ >= chunk_size_max / 16) return State::bad;
  left_ = left_ * 16 + static_cast<unsigned>(digit);
  return State::size;
}

ChunkedDecoder::State ChunkedDecoder::step_trailer(char c) {
  if (++read_ > trailer_bytes_max) return State::bad;
  switch (state_) {
    case State::trailer_first:
      if (c == '\r') return State::end_lf;
      return is_token({&c, 1}) ? State::trailer_name : State::bad;
    case State::trailer_name:
      if (c == ':') return State::trailer_value;
      return is_token({&c, 1}) ? State::trailer_name : State::bad;
    case State::trailer_value:
      if (c == '\r') return State::trailer_lf;
      return is_text(c) ? State::trailer_value : State::bad;
    default:
      return c == '\n' ? State::trailer_first : State::bad;
  }
}

void append_chunk(std::string& out, std::string_view data) {
  if (data.empty()) return;
  std::array<char, 16> size{};
  const auto [end, error] = std::to_chars(size.data(), size.data() + size.size(), data.size(), 16);
  out.append(size.data(), static_cast<std::size_t>(end - size.data()));
  out += "\r\n";
  out += data;
  out += "\r\n";
}

void append_last_chunk(std::string& out) {
  out += "0\r\n\r\n";
}

}  // namespace staithe::net
