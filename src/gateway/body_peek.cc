#include "gateway/body_peek.h"

#include <simdjson.h>

#include <optional>
#include <utility>

#include "base/encoding.h"

namespace staithe::gateway {
namespace {

namespace json = simdjson::ondemand;

static_assert(JsonPeek::padding_bytes >= simdjson::SIMDJSON_PADDING);

// A parser keeps working memory in proportion to the largest body it has seen. Larger ones than
// this get a parser of their own, so that one picture does not pin its memory for good.
constexpr std::size_t kept_parser_bytes_max = 1024 * 1024;

// The offset behind the string that starts with the quote at `begin`. The parser has seen its end.
std::size_t end_of_string(std::string_view body, std::size_t begin) {
  std::size_t at = begin + 1;
  while (at < body.size() && body[at] != '"') at += body[at] == '\\' ? 2 : 1;
  return std::min(at + 1, body.size());
}

constexpr std::string_view whole_ask = "\"stream_options\":{\"include_usage\":true},";
constexpr std::string_view object_ask = "{\"include_usage\":true}";
constexpr std::string_view member_ask = "\"include_usage\":true,";
constexpr std::string_view only_member_ask = "\"include_usage\":true";
constexpr std::string_view value_ask = "true";

std::size_t offset_of(std::string_view token, std::string_view body) {
  return static_cast<std::size_t>(token.data() - body.data());
}

// What `stream_options` says, and how it would be made to say more.
bool read_stream_options(json::value& value, std::string_view body, AnswerWish& wish) {
  wish.ask = {};
  json::json_type type;
  if (value.type().get(type)) return false;
  const std::size_t begin = offset_of(value.raw_json_token(), body);
  if (type == json::json_type::null) {
    wish.ask = object_ask;
    wish.ask_begin = begin;
    wish.ask_end = begin + 4;
    return value.is_null();
  }
  if (type != json::json_type::object) return true;  // the engine's to refuse
  json::object options;
  if (value.get_object().get(options)) return false;
  wish.ask = only_member_ask;
  wish.ask_begin = wish.ask_end = begin + 1;
  bool is_clear = true;
  bool is_said = false;
  for (auto member : options) {
    json::field field;
    if (std::move(member).get(field)) return false;
    std::string_view key;
    if (field.unescaped_key().get(key)) return false;
    if (!is_said) wish.ask = member_ask;
    // With usage it would bring some in every event, which nobody asked for.
    is_clear &= key != "continuous_usage_stats";
    if (key != "include_usage") continue;
    is_clear &= !is_said;
    is_said = true;
    bool is_wanted = false;
    const std::size_t at = offset_of(field.value().raw_json_token(), body);
    if (field.value().get_bool().get(is_wanted)) {
      is_clear = false;
      continue;
    }
    wish.is_usage_wanted |= is_wanted;
    wish.ask = value_ask;
    wish.ask_begin = at;
    wish.ask_end = at + std::string_view("false").size();
  }
  if (!is_clear || wish.is_usage_wanted) wish.ask = {};
  return true;
}

bool is_tokens_max(std::string_view key) {
  return key == "max_completion_tokens" || key == "max_tokens" || key == "max_output_tokens";
}

// Takes in what a member says; false if it is no JSON.
bool read_wish(std::string_view key, json::value& value, std::string_view body, AnswerWish& wish) {
  if (key == "stream_options") return read_stream_options(value, body, wish);
  json::json_type type;
  if (key == "stream") {
    if (value.type().get(type)) return false;
    bool is_stream = false;
    if (type == json::json_type::boolean && value.get_bool().get(is_stream)) return false;
    wish.is_stream = is_stream;
  } else if (is_tokens_max(key)) {
    if (value.type().get(type)) return false;
    std::uint64_t count = 0;
    // What is no count is the engine's to refuse.
    if (type == json::json_type::number && !value.get_uint64().get(count)) wish.tokens_max = count;
  }
  return true;
}

// Where the prompt stands.
struct PromptParts {
  std::string_view tools;
  std::string_view instructions;
  std::string_view text;
  std::string_view cache_salt;

  std::string_view* part(std::string_view key) {
    if (key == "messages" || key == "prompt" || key == "input") return &text;
    if (key == "tools") return &tools;
    if (key == "instructions") return &instructions;
    return key == "cache_salt" ? &cache_salt : nullptr;
  }
  Prefix prefix() const {
    Prefix prompt(cache_salt.empty() ? 0 : hash_text(cache_salt, 0));
    for (const std::string_view one : {tools, instructions, text}) prompt.add(one);
    return prompt;
  }
};

// A string, array or object as it is written; anything else counts as nothing. False if it has no
// end.
bool take_written(json::value value, std::string_view body, std::string_view& text) {
  json::json_type type;
  if (value.type().get(type)) return true;
  if (type == json::json_type::string) {
    const auto begin = static_cast<std::size_t>(value.raw_json_token().data() - body.data());
    text = body.substr(begin, end_of_string(body, begin) - begin);
  } else if (type == json::json_type::array) {
    json::array list;
    return !value.get_array().get(list) && !list.raw_json().get(text);
  } else if (type == json::json_type::object) {
    json::object object;
    return !value.get_object().get(object) && !object.raw_json().get(text);
  }
  return true;
}

Peeked find_in_object(json::document& document, std::string_view body, AnswerWish* wish,
                      PromptParts* prompt) {
  json::object members;
  if (const auto problem = document.get_object().get(members)) {
    return problem == simdjson::INCORRECT_TYPE ? PeekProblem::not_an_object : PeekProblem::not_json;
  }

  if (wish != nullptr) {
    *wish = {.ask = whole_ask};
    wish->ask_begin = wish->ask_end = body.find('{') + 1;
  }
  bool has_stream_options = false;
  std::optional<ModelField> found;
  for (auto member : members) {
    json::field field;
    if (std::move(member).get(field)) return PeekProblem::not_json;
    std::string_view key;
    if (field.unescaped_key().get(key)) return PeekProblem::not_json;
    std::string_view* const part = prompt == nullptr ? nullptr : prompt->part(key);
    if (part != nullptr) {
      if (!take_written(field.value(), body, *part)) return PeekProblem::not_json;
      continue;
    }
    if (key != "model") {
      if (wish == nullptr) continue;
      const bool is_options = key == "stream_options";
      if (!read_wish(key, field.value(), body, *wish)) return PeekProblem::not_json;
      if (is_options && std::exchange(has_stream_options, true)) wish->ask = {};
      continue;
    }
    if (found) return PeekProblem::repeated;

    json::json_type type;
    if (field.value().type().get(type)) return PeekProblem::not_json;
    if (type != json::json_type::string) return PeekProblem::not_a_string;
    const std::string_view token = field.value().raw_json_token();
    const auto begin = static_cast<std::size_t>(token.data() - body.data());
    std::string_view name;
    if (field.value().get_string().get(name)) return PeekProblem::not_json;
    found = ModelField{std::string(name), begin, end_of_string(body, begin)};
  }
  // Anything behind the object makes the body two texts, which no engine should see.
  if (document.current_location().error() != simdjson::OUT_OF_BOUNDS) return PeekProblem::not_json;
  if (wish != nullptr && wish->ask.empty()) wish->ask_begin = wish->ask_end = 0;
  if (!found || found->name.empty()) return PeekProblem::missing;
  return *std::move(found);
}

Peeked find_with(json::parser& parser, std::string_view body, std::size_t capacity,
                 AnswerWish* wish, Prefix* prompt) {
  json::document document;
  if (parser.iterate(body, capacity).get(document)) return PeekProblem::not_json;
  json::json_type type;
  if (document.type().get(type)) return PeekProblem::not_json;
  if (type != json::json_type::object) return PeekProblem::not_an_object;
  if (prompt == nullptr) return find_in_object(document, body, wish, nullptr);
  PromptParts parts;
  Peeked found = find_in_object(document, body, wish, &parts);
  *prompt = parts.prefix();
  return found;
}

std::string_view trim(std::string_view text) {
  const auto is_blank = [](char c) { return c == ' ' || c == '\t'; };
  while (!text.empty() && is_blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_blank(text.back())) text.remove_suffix(1);
  return text;
}

std::string_view media_type(std::string_view content_type) {
  return trim(content_type.substr(0, content_type.find(';')));
}

// The value of parameter `name` in a header value like `form-data; name="model"`. Quoted values
// come without their quotes; escapes in them are left alone, for no name we look for has any.
std::optional<std::string_view> parameter(std::string_view value, std::string_view name) {
  auto at = value.find(';');
  while (at != std::string_view::npos) {
    value.remove_prefix(at + 1);
    const auto equals = value.find('=');
    if (equals == std::string_view::npos) return std::nullopt;
    const std::string_view key = trim(value.substr(0, equals));
    value.remove_prefix(equals + 1);
    const bool is_quoted = value.starts_with('"');
    const auto close = is_quoted ? value.find('"', 1) : std::string_view::npos;
    if (is_quoted && close == std::string_view::npos) return std::nullopt;
    const std::string_view found =
        is_quoted ? value.substr(1, close - 1) : trim(value.substr(0, value.find(';')));
    if (equals_ignoring_case(key, name)) return found;
    if (is_quoted) value.remove_prefix(close + 1);
    at = value.find(';');
  }
  return std::nullopt;
}

// True for the headers of a plain form field called `model`; a file is none.
bool is_model_part(std::string_view headers) {
  while (!headers.empty()) {
    const auto line_end = headers.find("\r\n");
    const std::string_view line = headers.substr(0, line_end);
    headers.remove_prefix(line_end == std::string_view::npos ? headers.size() : line_end + 2);
    const auto colon = line.find(':');
    if (colon == std::string_view::npos) continue;
    if (!equals_ignoring_case(line.substr(0, colon), "content-disposition")) continue;
    const std::string_view value = line.substr(colon + 1);
    return parameter(value, "name") == "model" && !parameter(value, "filename");
  }
  return false;
}

}  // namespace

struct JsonPeek::Impl {
  json::parser parser;
};

JsonPeek::JsonPeek() : impl_(std::make_unique<Impl>()) {}
JsonPeek::~JsonPeek() = default;

Peeked JsonPeek::find_model(std::string& body, AnswerWish* wish, Prefix* prompt) {
  if (body.capacity() < body.size() + padding_bytes) body.reserve(body.size() + padding_bytes);
  if (body.size() <= kept_parser_bytes_max) {
    return find_with(impl_->parser, body, body.capacity(), wish, prompt);
  }
  json::parser parser;
  return find_with(parser, body, body.capacity(), wish, prompt);
}

Peeked find_model_in_multipart(std::string_view body, std::string_view content_type) {
  const auto boundary = parameter(content_type, "boundary");
  if (!boundary || boundary->empty()) return PeekProblem::not_multipart;
  // Every boundary but the first follows a line end, which belongs to it (RFC 2046 section 5.1.1).
  const std::string delimiter = "\r\n--" + std::string(*boundary);
  const std::string_view opening = std::string_view(delimiter).substr(2);

  std::size_t at = 0;
  if (!body.starts_with(opening)) {
    at = body.find(delimiter);
    if (at == std::string_view::npos) return PeekProblem::not_multipart;
    at += 2;
  }
  std::optional<ModelField> found;
  while (true) {
    at += opening.size();
    if (body.substr(at).starts_with("--")) break;
    const auto headers_begin = body.find("\r\n", at);
    if (headers_begin == std::string_view::npos) return PeekProblem::not_multipart;
    const auto headers_end = body.find("\r\n\r\n", headers_begin);
    if (headers_end == std::string_view::npos) return PeekProblem::not_multipart;
    const auto value_begin = headers_end + 4;
    const auto value_end = body.find(delimiter, value_begin);
    if (value_end == std::string_view::npos) return PeekProblem::not_multipart;
    if (is_model_part(body.substr(headers_begin, headers_end - headers_begin))) {
      if (found) return PeekProblem::repeated;
      found = ModelField{std::string(body.substr(value_begin, value_end - value_begin)),
                         value_begin, value_end};
    }
    at = value_end + 2;
  }
  if (!found || found->name.empty()) return PeekProblem::missing;
  return *std::move(found);
}

bool is_multipart_form(std::string_view content_type) {
  return equals_ignoring_case(media_type(content_type), "multipart/form-data");
}

bool is_json(std::string_view content_type) {
  const std::string_view type = media_type(content_type);
  return type.empty() || equals_ignoring_case(type, "application/json") ||
         (type.size() > 5 && equals_ignoring_case(type.substr(type.size() - 5), "+json"));
}

void replace_json_model(std::string& body, const ModelField& found, std::string_view name) {
  body.replace(found.begin, found.end - found.begin, json_quote(name));
}

void replace_multipart_model(std::string& body, const ModelField& found, std::string_view name) {
  body.replace(found.begin, found.end - found.begin, name);
}

void follow_replacement(AnswerWish& wish, const ModelField& found, std::size_t body_bytes_before,
                        std::size_t body_bytes_after) {
  if (wish.ask_begin < found.end) return;
  wish.ask_begin = wish.ask_begin - body_bytes_before + body_bytes_after;
  wish.ask_end = wish.ask_end - body_bytes_before + body_bytes_after;
}

}  // namespace staithe::gateway
