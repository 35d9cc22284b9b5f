#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "engine/options.h"

namespace staithe::engine {

enum class Surface : std::uint8_t { chat, completions };

struct Prompt {
  std::uint64_t hash = 0;  // of its content: equal prompts get equal answers
  std::uint32_t token_count = 0;
};

// A request for text, reduced to what the simulation acts on.
struct GenerationRequest {
  Surface surface = Surface::chat;
  std::vector<Prompt> prompts;  // one for chat, one or more for completions
  std::uint32_t choices_per_prompt = 1;
  std::optional<std::uint32_t> tokens_max;
  std::vector<std::string> stops;
  std::uint64_t seed = 0;
  bool is_stream = false;
  bool wants_usage = false;
  bool wants_logprobs = false;
  bool shows_token_ids = false;  // logprobs name tokens as "token_id:N"

  std::size_t choice_count() const { return prompts.size() * choices_per_prompt; }
  std::uint64_t prompt_token_count() const;
  // What the request may come to hold of the KV cache.
  std::uint64_t token_count_max(const Options& options) const;
};

struct EmbeddingRequest {
  std::vector<Prompt> inputs;
  std::uint32_t size = 0;
  bool as_base64 = false;
};

// NOT_FOUND for a model that is not served, INVALID_ARGUMENT for everything else, with the
// offending member as the field of its only violation.
Result<GenerationRequest> parse_generation(std::string_view body, Surface surface,
                                           const Options& options);
Result<EmbeddingRequest> parse_embedding(std::string_view body, const Options& options);
// The text of a tokenize call.
Result<std::string> parse_tokenize(std::string_view body, const Options& options);

}  // namespace staithe::engine
