#include <string>

#include "fuzz_input.h"
#include "net/chunked_codec.h"

namespace staithe::fuzz {
namespace {

using Outcome = net::ChunkedDecoder::Outcome;

struct Decoded {
  Outcome outcome = Outcome::need_more;
  std::string body;
  std::size_t used = 0;

  bool operator==(const Decoded&) const = default;
};

Decoded decode(std::string_view bytes, std::size_t piece_size) {
  net::ChunkedDecoder decoder;
  Decoded decoded;
  while (decoded.used < bytes.size() && decoded.outcome == Outcome::need_more) {
    const std::string_view piece = bytes.substr(decoded.used, piece_size);
    std::string_view input = piece;
    std::string_view data;
    while ((decoded.outcome = decoder.next(input, data)) == Outcome::data) decoded.body += data;
    decoded.used += piece.size() - input.size();
  }
  return decoded;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes = text_of(data, size);
  const Decoded at_once = decode(bytes, bytes.size() + 1);
  CHECK(decode(bytes, 1) == at_once);
  CHECK(decode(bytes, 7) == at_once);
  CHECK(at_once.body.size() <= bytes.size());

  std::string encoded;
  net::append_chunk(encoded, at_once.body);
  net::append_last_chunk(encoded);
  const Decoded again = decode(encoded, 3);
  CHECK(again.outcome == Outcome::end && again.body == at_once.body);
  return 0;
}

}  // namespace staithe::fuzz
