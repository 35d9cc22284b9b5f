#include "openapi/yaml.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <string_view>

namespace staithe::api {
namespace {

using nlohmann::ordered_json;

constexpr std::size_t line_width = 80;

// Words that YAML 1.1 readers take for something else than text.
bool is_reserved_word(std::string_view text) {
  static constexpr std::array<std::string_view, 8> words = {"true", "false", "yes",  "no",
                                                            "on",   "off",   "null", "~"};
  std::string lower(text);
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return std::find(words.begin(), words.end(), lower) != words.end();
}

// Whether `text` can stand without quotes.
bool is_plain(std::string_view text) {
  static constexpr std::string_view safe =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./(),;{}+=$ ";
  if (text.empty() || is_reserved_word(text)) return false;
  const bool starts_well = std::isalpha(static_cast<unsigned char>(text.front())) != 0 ||
                           text.front() == '/' || text.front() == '$';
  if (!starts_well || text.back() == ' ') return false;
  return text.find_first_not_of(safe) == std::string_view::npos;
}

std::string plain_or_quoted(std::string_view text) {
  // A JSON string is a double-quoted YAML scalar.
  return is_plain(text) ? std::string(text) : ordered_json(text).dump();
}

// One paragraph as a folded block scalar.
std::string folded(std::string_view text, std::size_t indent) {
  std::string out = ">-";
  std::string line;
  const auto flush = [&] {
    out += '\n' + std::string(indent, ' ') + line;
    line.clear();
  };
  while (!text.empty()) {
    const std::string_view word = text.substr(0, text.find(' '));
    text.remove_prefix(std::min(text.size(), word.size() + 1));
    if (!line.empty() && indent + line.size() + 1 + word.size() > line_width) flush();
    if (!line.empty()) line += ' ';
    line += word;
  }
  flush();
  return out;
}

std::string scalar(const ordered_json& value, std::size_t indent) {
  if (!value.is_string()) return value.dump();
  const auto& text = value.get_ref<const std::string&>();
  const bool is_long = indent + text.size() > line_width;
  const bool is_paragraph = text.find('\n') == std::string::npos &&
                            text.find("  ") == std::string::npos && !text.starts_with(' ') &&
                            text.find(' ') != std::string::npos;
  return is_long && is_paragraph ? folded(text, indent) : plain_or_quoted(text);
}

void write(const ordered_json& value, std::size_t indent, bool is_list_item, std::string& out);

void write_member(const std::string& key, const ordered_json& value, std::size_t indent,
                  std::string& out) {
  out += plain_or_quoted(key) + ":";
  write(value, indent + 2, false, out);
}

// Writes `value` after "key:" or "-"; the cursor stands right behind them.
void write(const ordered_json& value, std::size_t indent, bool is_list_item, std::string& out) {
  if (value.is_object() && !value.empty()) {
    bool is_first = true;
    for (const auto& [key, member] : value.items()) {
      // The first member of a list item shares the line with its dash.
      out += is_first && is_list_item ? " " : "\n" + std::string(indent, ' ');
      write_member(key, member, indent, out);
      is_first = false;
    }
  } else if (value.is_array() && !value.empty()) {
    for (const auto& item : value) {
      out += "\n" + std::string(indent, ' ') + "-";
      write(item, indent + 2, true, out);
    }
  } else {
    out += ' ' + scalar(value, indent);
  }
}

}  // namespace

std::string to_yaml(const ordered_json& document) {
  std::string out;
  for (const auto& [key, value] : document.items()) {
    write_member(key, value, 0, out);
    out += '\n';
  }
  return out;
}

}  // namespace staithe::api
