#include "engine/request.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "engine/text.h"

namespace staithe::engine {
namespace {

using Json = nlohmann::json;

constexpr std::uint32_t choices_max = 128;
constexpr std::size_t stops_max = 4;

Error bad(std::string_view field, std::string message) {
  Error error{.code = Code::invalid_argument, .message = message};
  if (!field.empty()) error.violations.push_back({std::string(field), std::move(message)});
  return error;
}

std::uint64_t hash_bytes(std::string_view bytes, std::uint64_t hash = 14'695'981'039'346'656'037U) {
  for (const char byte : bytes) {  // FNV-1a
    hash = (hash ^ static_cast<unsigned char>(byte)) * 1'099'511'628'211U;
  }
  return hash;
}

Prompt prompt_of_text(std::string_view text) {
  return {.hash = hash_bytes(text),
          .token_count = static_cast<std::uint32_t>(std::max<std::size_t>(1, count_tokens(text)))};
}

Result<Json> parse_object(std::string_view body, const Options& options) {
  Json parsed = Json::parse(body, nullptr, false);
  if (!parsed.is_object()) return bad("", "the body is not a JSON object");
  const auto model = parsed.find("model");
  if (model != parsed.end() && !model->is_null()) {
    if (!model->is_string()) return bad("model", "model must be a string");
    const auto& name = model->get_ref<const std::string&>();
    if (name != options.model) {
      Error error{.code = Code::not_found,
                  .message = fmt::format("The model `{}` does not exist.", name)};
      error.violations.push_back({"model", error.message});
      return error;
    }
  }
  return parsed;
}

Result<bool> flag(const Json& object, const char* name) {
  const auto member = object.find(name);
  if (member == object.end() || member->is_null()) return false;
  if (!member->is_boolean()) return bad(name, fmt::format("{} must be true or false", name));
  return member->get<bool>();
}

Result<std::optional<std::uint32_t>> positive(const Json& object, const char* name) {
  const auto member = object.find(name);
  if (member == object.end() || member->is_null()) return std::optional<std::uint32_t>{};
  if (!member->is_number_integer() || member->get<std::int64_t>() < 1 ||
      member->get<std::int64_t>() > 1'000'000'000) {
    return bad(name, fmt::format("{} must be at least 1", name));
  }
  return std::optional<std::uint32_t>{member->get<std::uint32_t>()};
}

Result<std::vector<std::string>> read_stops(const Json& object) {
  std::vector<std::string> stops;
  const auto member = object.find("stop");
  if (member == object.end() || member->is_null()) return stops;
  const Json list = member->is_array() ? *member : Json::array({*member});
  for (const Json& stop : list) {
    if (!stop.is_string() || stop.get_ref<const std::string&>().empty()) {
      return bad("stop", "stop must be a string or a list of strings, none of them empty");
    }
    stops.push_back(stop.get<std::string>());
  }
  if (stops.size() > stops_max) return bad("stop", "stop must hold at most 4 strings");
  return stops;
}

// Texts, and the texts within content parts; anything else counts by its JSON.
std::string text_of_content(const Json& content) {
  if (content.is_string()) return content.get<std::string>();
  if (!content.is_array()) return content.is_null() ? std::string{} : content.dump();
  std::string text;
  for (const Json& part : content) {
    const auto piece = part.is_object() ? part.find("text") : part.end();
    if (part.is_object() && piece != part.end() && piece->is_string()) {
      text += piece->get_ref<const std::string&>();
      text += ' ';
    }
  }
  return text;
}

Result<std::vector<Prompt>> read_messages(const Json& object) {
  const auto messages = object.find("messages");
  if (messages == object.end() || !messages->is_array() || messages->empty()) {
    return bad("messages", "messages must be a list of at least one message");
  }
  std::string text;
  for (const Json& message : *messages) {
    const auto role = message.is_object() ? message.find("role") : message.end();
    if (!message.is_object() || role == message.end() || !role->is_string()) {
      return bad("messages", "each message needs a role");
    }
    text += role->get_ref<const std::string&>();
    text += ": ";
    if (const auto content = message.find("content"); content != message.end()) {
      text += text_of_content(*content);
    }
    text += '\n';
  }
  return std::vector<Prompt>{prompt_of_text(text)};
}

bool is_token_list(const Json& value) {
  if (!value.is_array() || value.empty()) return false;
  return std::all_of(value.begin(), value.end(),
                     [](const Json& item) { return item.is_number_unsigned(); });
}

// A text, a list of token ids, or a list of either.
Result<std::vector<Prompt>> read_prompts(const Json& object, const char* name) {
  const auto member = object.find(name);
  if (member == object.end()) return bad(name, fmt::format("{} is required", name));
  const auto read_one = [](const Json& value) -> std::optional<Prompt> {
    if (value.is_string()) return prompt_of_text(value.get_ref<const std::string&>());
    if (!is_token_list(value)) return std::nullopt;
    return Prompt{.hash = hash_bytes(value.dump()),
                  .token_count = static_cast<std::uint32_t>(value.size())};
  };
  std::vector<Prompt> prompts;
  if (const auto single = read_one(*member)) {
    prompts.push_back(*single);
  } else if (member->is_array()) {
    for (const Json& value : *member) {
      const auto prompt = read_one(value);
      if (!prompt) break;
      prompts.push_back(*prompt);
    }
    if (prompts.size() != member->size()) prompts.clear();
  }
  if (prompts.empty()) {
    return bad(name,
               fmt::format("{} must be a text, a list of token ids, or a list of either", name));
  }
  return prompts;
}

// Chat asks for log-probabilities with a flag, completions with a count.
bool wants_logprobs(const Json& object) {
  const auto member = object.find("logprobs");
  if (member == object.end()) return false;
  return member->is_boolean() ? member->get<bool>() : member->is_number_integer();
}

Result<void> check_context(const GenerationRequest& request, const Options& options) {
  const std::uint64_t asked = request.tokens_max.value_or(1);
  for (const Prompt& prompt : request.prompts) {
    if (prompt.token_count + asked <= options.context_tokens_max) continue;
    return bad(request.surface == Surface::chat ? "messages" : "prompt",
               fmt::format("This model's maximum context length is {} tokens. However, you "
                           "requested {} tokens ({} in the prompt, {} for the answer). Please "
                           "reduce the length of the prompt or of the answer.",
                           options.context_tokens_max, prompt.token_count + asked,
                           prompt.token_count, asked));
  }
  return {};
}

}  // namespace

std::uint64_t GenerationRequest::prompt_token_count() const {
  std::uint64_t count = 0;
  for (const Prompt& prompt : prompts) count += prompt.token_count;
  return count;
}

std::uint64_t GenerationRequest::token_count_max(const Options& options) const {
  return prompt_token_count() + choice_count() * tokens_max.value_or(options.tokens_default);
}

Result<GenerationRequest> parse_generation(std::string_view body, Surface surface,
                                           const Options& options) {
  TRY_ASSIGN(const Json object, parse_object(body, options));
  GenerationRequest request{.surface = surface};
  if (surface == Surface::chat) {
    TRY_ASSIGN(request.prompts, read_messages(object));
  } else {
    TRY_ASSIGN(request.prompts, read_prompts(object, "prompt"));
  }
  TRY_ASSIGN(request.tokens_max, positive(object, "max_tokens"));
  TRY_ASSIGN(const auto completion_tokens_max, positive(object, "max_completion_tokens"));
  if (completion_tokens_max) request.tokens_max = completion_tokens_max;
  TRY_ASSIGN(const auto choices, positive(object, "n"));
  request.choices_per_prompt = choices.value_or(1);
  if (request.choice_count() > choices_max) return bad("n", "n must be at most 128");
  TRY_ASSIGN(request.stops, read_stops(object));
  if (const auto seed = object.find("seed"); seed != object.end() && seed->is_number_integer()) {
    request.seed = static_cast<std::uint64_t>(seed->get<std::int64_t>());
  }
  TRY_ASSIGN(request.is_stream, flag(object, "stream"));
  if (const auto wants = object.find("stream_options");
      wants != object.end() && wants->is_object()) {
    if (!request.is_stream) {
      return bad("stream_options", "stream_options can only be set when stream is true");
    }
    TRY_ASSIGN(request.wants_usage, flag(*wants, "include_usage"));
  }
  request.wants_logprobs = wants_logprobs(object);
  TRY_ASSIGN(request.shows_token_ids, flag(object, "return_tokens_as_token_ids"));
  TRY(check_context(request, options));
  return request;
}

Result<EmbeddingRequest> parse_embedding(std::string_view body, const Options& options) {
  TRY_ASSIGN(const Json object, parse_object(body, options));
  EmbeddingRequest request;
  TRY_ASSIGN(request.inputs, read_prompts(object, "input"));
  TRY_ASSIGN(const auto size, positive(object, "dimensions"));
  request.size = size.value_or(options.embedding_size);
  if (request.size > options.embedding_size) {
    return bad("dimensions", fmt::format("dimensions must be at most {}", options.embedding_size));
  }
  const std::string format = object.value("encoding_format", Json("float")).dump();
  if (format != "\"float\"" && format != "\"base64\"") {
    return bad("encoding_format", "encoding_format must be float or base64");
  }
  request.as_base64 = format == "\"base64\"";
  return request;
}

Result<std::string> parse_tokenize(std::string_view body, const Options& options) {
  TRY_ASSIGN(const Json object, parse_object(body, options));
  const auto prompt = object.find("prompt");
  if (prompt == object.end() || !prompt->is_string()) return bad("prompt", "prompt is required");
  return prompt->get<std::string>();
}

}  // namespace staithe::engine
