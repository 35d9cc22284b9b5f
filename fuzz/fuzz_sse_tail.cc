#include <string>

#include "fuzz_input.h"
#include "gateway/sse_tail.h"

namespace staithe::fuzz {

// However a stream is cut, its end is judged alike, and what is missing completes it.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view stream = text_of(data, size);
  gateway::SseTail at_once;
  at_once.feed(stream);
  for (const std::size_t piece : {1u, 3u, 17u}) {
    gateway::SseTail cut;
    for (std::size_t at = 0; at < stream.size(); at += piece) cut.feed(stream.substr(at, piece));
    CHECK(cut.missing_end() == at_once.missing_end());
    CHECK(cut.is_done() == at_once.is_done());
  }
  CHECK(!at_once.is_done() || at_once.missing_end().empty());
  CHECK(!at_once.is_done() || stream.find("[DONE]") != std::string_view::npos);
  at_once.feed(std::string(at_once.missing_end()));
  CHECK(at_once.missing_end().empty());
  return 0;
}

}  // namespace staithe::fuzz
