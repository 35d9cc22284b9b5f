#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace staithe::net {

// Takes the chunked coding off a body (RFC 9112 section 7.1). Holds no bytes: data comes out as
// views into the input. Chunk extensions and trailer fields are checked and dropped.
class ChunkedDecoder {
 public:
  static constexpr std::size_t chunk_line_bytes_max = 512;
  static constexpr std::size_t trailer_bytes_max = 8 * 1024;

  enum class Outcome : std::uint8_t {
    need_more,  // the input is used up
    data,       // `data` holds the next bytes of the body
    end,        // the body is over; what is left of the input comes after it
    bad,        // the input is not chunked; nothing more can be read from this connection
  };
  // Takes what it reads off the front of `input`.
  Outcome next(std::string_view& input, std::string_view& data);

 private:
  enum class State : std::uint8_t {
    size_first,  // before the first digit of a chunk size
    size,
    size_gap,  // white space between the size and an extension
    extension,
    size_lf,
    data,
    data_cr,
    data_lf,
    trailer_first,  // at the start of a trailer line
    trailer_name,
    trailer_value,
    trailer_lf,
    end_lf,
    end,
    bad,
  };
  State step(char c);
  State step_size(char c);
  State step_trailer(char c);

  std::uint64_t left_ = 0;  // of the chunk
  std::uint16_t read_ = 0;  // of the chunk line or the trailer
  State state_ = State::size_first;
};

// Puts one chunk after `out`; an empty one would end the body and is left out.
void append_chunk(std::string& out, std::string_view data);
void append_last_chunk(std::string& out);

}  // namespace staithe::net
