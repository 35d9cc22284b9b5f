#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <variant>

#include "gateway/prefix.h"

namespace staithe::gateway {

// The `model` of a request body and where its value stands, so that it can be replaced in place
// while every other byte stays as the client wrote it.
struct ModelField {
  std::string name;       // decoded
  std::size_t begin = 0;  // of the value; in JSON including its quotes
  std::size_t end = 0;
  bool operator==(const ModelField&) const = default;
};

enum class PeekProblem : std::uint8_t {
  not_json,       // does not parse, or more follows the first value
  not_an_object,  // JSON, but no object
  not_multipart,  // no boundary, or no part
  missing,        // no member, or an empty one
  not_a_string,
  repeated,  // named twice: engines and parsers disagree about which one counts
};

using Peeked = std::variant<ModelField, PeekProblem>;

// What a JSON body asks of its answer.
struct AnswerWish {
  bool is_stream = false;
  // The most tokens it wants for each choice; 0: it does not say.
  std::uint64_t tokens_max = 0;
  bool is_usage_wanted = false;  // stream_options.include_usage
  // What makes the body want it: `ask` in the place of these bytes. Empty: nothing would, without
  // more changes to the answer.
  std::string_view ask;
  std::size_t ask_begin = 0;
  std::size_t ask_end = 0;
};

// Finds the top-level member `model` of a JSON body (RFC 8259). Values that it passes over are
// checked for their brackets and strings only: the engine reads them anyway. One thread; it keeps
// its working memory from call to call.
class JsonPeek {
 public:
  // Room that must be reserved behind a body's bytes.
  static constexpr std::size_t padding_bytes = 64;

  JsonPeek();
  ~JsonPeek();
  JsonPeek(const JsonPeek&) = delete;
  JsonPeek& operator=(const JsonPeek&) = delete;

  // Grows the capacity of `body` by the padding if it is short of it; the bytes stay. `wish`, if
  // given, is filled in unless there is a problem with the body. `prompt`, if given, is taken as it
  // is written from the top-level members that engines make it of, in the order in which they do:
  // `tools`, `instructions`, and then `messages`, `prompt` or `input`. A `cache_salt` keeps it
  // apart from all others, as it does in the engine's cache.
  Peeked find_model(std::string& body, AnswerWish* wish = nullptr, Prefix* prompt = nullptr);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// Finds the form field `model` of a multipart/form-data body (RFC 7578), which is how audio is
// sent. `content_type` is the whole header value, with its boundary.
Peeked find_model_in_multipart(std::string_view body, std::string_view content_type);

// Whether a Content-Type header's value means multipart/form-data, or JSON (absent counts as JSON).
bool is_multipart_form(std::string_view content_type);
bool is_json(std::string_view content_type);

// Puts `name` in the place of the found value.
void replace_json_model(std::string& body, const ModelField& found, std::string_view name);
void replace_multipart_model(std::string& body, const ModelField& found, std::string_view name);

// Follows `wish` through such a replacement in the body it was read from.
void follow_replacement(AnswerWish& wish, const ModelField& found, std::size_t body_bytes_before,
                        std::size_t body_bytes_after);

}  // namespace staithe::gateway
