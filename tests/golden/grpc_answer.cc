#include "golden/grpc_answer.h"

#include <fmt/format.h>

#include <charconv>
#include <cstdint>
#include <utility>

#include "base/encoding.h"

namespace staithe::tests {
namespace {

using Fields = HttpAnswer::Fields;

constexpr std::size_t head_bytes = 5;
constexpr std::uint8_t trailers_flag = 0x80;

Error bad(std::string message) {
  return Error{.code = Code::invalid_argument, .message = std::move(message)};
}

struct Frame {
  std::uint8_t flags = 0;
  std::string payload;
};

Result<std::vector<Frame>> split_frames(std::string_view body) {
  std::vector<Frame> frames;
  while (!body.empty()) {
    if (body.size() < head_bytes) return bad("the body ends within a frame's head");
    std::size_t size = 0;
    for (std::size_t i = 1; i < head_bytes; ++i) {
      size = size * 256 + static_cast<std::uint8_t>(body[i]);
    }
    if (body.size() - head_bytes < size) return bad("the body ends within a frame");
    frames.push_back(
        {static_cast<std::uint8_t>(body[0]), std::string(body.substr(head_bytes, size))});
    body.remove_prefix(head_bytes + size);
  }
  return frames;
}

// "name: value" lines as in HTTP/1.1 (the protocol wants the names in lower case).
Result<Fields> read_trailer_frame(std::string_view lines) {
  Fields fields;
  while (!lines.empty()) {
    const auto end = lines.find("\r\n");
    const std::string_view line = lines.substr(0, end);
    const auto colon = line.find(':');
    if (end == std::string_view::npos || colon == std::string_view::npos) {
      return bad("a line of the trailers is malformed: " + std::string(line));
    }
    if (to_lower(line.substr(0, colon)) != line.substr(0, colon)) {
      return bad("a trailer's name has capitals: " + std::string(line));
    }
    std::string_view value = line.substr(colon + 1);
    if (value.starts_with(' ')) value.remove_prefix(1);
    fields.emplace_back(line.substr(0, colon), value);
    lines.remove_prefix(end + 2);
  }
  return fields;
}

Result<void> read_status(const Fields& fields, GrpcAnswer& read) {
  const std::string status = HttpAnswer::find(fields, "grpc-status");
  const auto [end, problem] =
      std::from_chars(status.data(), status.data() + status.size(), read.status);
  if (problem != std::errc{} || end != status.data() + status.size()) {
    return bad(fmt::format("grpc-status is \"{}\"", status));
  }
  auto message = percent_decode(HttpAnswer::find(fields, "grpc-message"));
  if (!message) return bad("grpc-message has a malformed escape");
  read.message = *std::move(message);
  const std::string details = HttpAnswer::find(fields, "grpc-status-details-bin");
  if (details.empty()) return {};
  read.details = base64_decode(details);
  if (!read.details) return bad("grpc-status-details-bin is not base64");
  return {};
}

}  // namespace

std::string envelop(std::string_view message) {
  std::string out(1, '\0');
  for (int shift = 24; shift >= 0; shift -= 8) {
    out += static_cast<char>(message.size() >> shift & 0xff);
  }
  out += message;
  return out;
}

Result<GrpcAnswer> read_grpc(GrpcFlavor flavor, const HttpAnswer& answer) {
  const std::string type = HttpAnswer::find(answer.headers, "content-type");
  const std::string_view wanted =
      flavor == GrpcFlavor::web ? "application/grpc-web+proto" : "application/grpc+proto";
  if (answer.status != 200 || type != wanted) {
    return bad(fmt::format("HTTP {} with content-type \"{}\": {}", answer.status, type,
                           answer.body.substr(0, 200)));
  }
  GrpcAnswer read;
  TRY_ASSIGN(std::vector<Frame> frames, split_frames(answer.body));
  // A status in the head is all of the answer.
  if (!HttpAnswer::find(answer.headers, "grpc-status").empty()) {
    if (!frames.empty() || !answer.trailers.empty()) return bad("something follows the status");
    TRY(read_status(answer.headers, read));
    return read;
  }
  Fields trailers = answer.trailers;
  if (flavor == GrpcFlavor::web) {
    if (frames.empty() || frames.back().flags != trailers_flag)
      return bad("no trailers at the end");
    TRY_ASSIGN(trailers, read_trailer_frame(frames.back().payload));
    frames.pop_back();
  }
  for (Frame& frame : frames) {
    if (frame.flags != 0) return bad(fmt::format("a message has the flags {:#x}", frame.flags));
    read.messages.push_back(std::move(frame.payload));
  }
  TRY(read_status(trailers, read));
  return read;
}

}  // namespace staithe::tests
