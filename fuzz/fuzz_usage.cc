#include <algorithm>
#include <string>

#include "fuzz_input.h"
#include "gateway/usage_stream.h"

namespace staithe::fuzz {
namespace {

using gateway::UsageStream;

struct Passed {
  std::string bytes;
  gateway::ReportedTokens reported;
};

Passed pass(std::string_view stream, UsageStream::Extra extra, std::size_t piece) {
  UsageStream reader(extra);
  Passed passed;
  for (std::size_t at = 0; at < stream.size(); at += piece) {
    passed.bytes += reader.feed(stream.substr(at, piece));
  }
  passed.bytes += reader.finish();
  passed.reported = reader.reported();
  return passed;
}

bool is_part_of(std::string_view part, std::string_view whole) {
  std::size_t at = 0;
  for (const char c : whole) {
    if (at < part.size() && part[at] == c) ++at;
  }
  return at == part.size();
}

}  // namespace

// A reader that only looks passes every byte. One that removes passes the same however the stream
// is cut, unless an event is too long to wait for; it adds nothing, and finds the same usage.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view stream = text_of(data, size);
  if (stream.size() > UsageStream::held_bytes_max) return 0;
  const std::size_t whole = std::max<std::size_t>(stream.size(), 1);
  const Passed removed = pass(stream, UsageStream::Extra::is_removed, whole);
  CHECK(is_part_of(removed.bytes, stream));
  for (const std::size_t piece : {std::size_t{1}, std::size_t{3}, std::size_t{17}, whole}) {
    CHECK(pass(stream, UsageStream::Extra::passes, piece).bytes == stream);
    CHECK(pass(stream, UsageStream::Extra::is_removed, piece).bytes == removed.bytes);
  }
  return 0;
}

}  // namespace staithe::fuzz
