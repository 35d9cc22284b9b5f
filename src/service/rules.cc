#include "service/rules.h"

#include <algorithm>

#include "base/encoding.h"

namespace staithe::service::rules {
namespace {

bool is_upper(char c) {
  return c >= 'A' && c <= 'Z';
}
bool is_lower(char c) {
  return c >= 'a' && c <= 'z';
}
bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
bool is_letter(char c) {
  return is_upper(c) || is_lower(c);
}
bool is_alphanumeric(char c) {
  return is_letter(c) || is_digit(c);
}
bool is_hex_digit(char c) {
  return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

bool is_one_of(char c, std::string_view set) {
  return set.find(c) != std::string_view::npos;
}

// Not empty, and every character passes.
template <typename Predicate>
bool consists_of(std::string_view text, Predicate passes) {
  return !text.empty() && std::all_of(text.begin(), text.end(), passes);
}

// Takes the longest prefix whose characters pass.
template <typename Predicate>
std::string_view take_while(std::string_view& text, Predicate passes) {
  const auto end = std::find_if_not(text.begin(), text.end(), passes);
  const auto count = static_cast<std::size_t>(end - text.begin());
  const std::string_view taken = text.substr(0, count);
  text.remove_prefix(count);
  return taken;
}

bool take(std::string_view& text, char c) {
  if (text.empty() || text.front() != c) return false;
  text.remove_prefix(1);
  return true;
}

// A number without leading zeros.
bool is_version_number(std::string_view text) {
  return consists_of(text, is_digit) && (text.size() == 1 || text.front() != '0');
}

// Dot-separated identifiers, none empty; `passes` judges each.
template <typename Predicate>
bool is_dotted(std::string_view text, Predicate passes) {
  while (true) {
    const std::size_t dot = text.find('.');
    if (!passes(text.substr(0, dot))) return false;
    if (dot == std::string_view::npos) return true;
    text.remove_prefix(dot + 1);
  }
}

bool is_identifier_character(char c) {
  return is_alphanumeric(c) || c == '-';
}

bool is_build_identifier(std::string_view text) {
  return consists_of(text, is_identifier_character);
}

bool is_prerelease_identifier(std::string_view text) {
  return is_build_identifier(text) && (!consists_of(text, is_digit) || is_version_number(text));
}

// Takes MAJOR.MINOR.PATCH.
bool take_version_core(std::string_view& text) {
  for (int part = 0; part < 3; ++part) {
    if (part > 0 && !take(text, '.')) return false;
    if (!is_version_number(take_while(text, is_digit))) return false;
  }
  return true;
}

}  // namespace

bool is_uuid(std::string_view text) {
  if (text.size() != 36) return false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool is_hyphen_place = i == 8 || i == 13 || i == 18 || i == 23;
    if (is_hyphen_place ? text[i] != '-' : !is_hex_digit(text[i])) return false;
  }
  return true;
}

bool is_zone(std::string_view folded) {
  if (folded == "RNO2A") return true;
  return take_while(folded, is_upper).size() == 2 && take(folded, '-') &&
         !take_while(folded, is_upper).empty() && take(folded, '-') &&
         !take_while(folded, is_digit).empty() && !take_while(folded, is_upper).empty() &&
         folded.empty();
}

bool is_host_label(std::string_view text) {
  return text.size() <= 63 && consists_of(text, is_identifier_character) && text.front() != '-' &&
         text.back() != '-';
}

bool is_instance_type(std::string_view text) {
  return text.size() <= 63 &&
         consists_of(text, [](char c) { return is_alphanumeric(c) || is_one_of(c, "-_."); }) &&
         is_alphanumeric(text.front()) && is_alphanumeric(text.back());
}

bool is_claim_name(std::string_view text) {
  return consists_of(text, [](char c) { return is_lower(c) || is_digit(c) || c == '-'; }) &&
         text.front() != '-' && text.back() != '-';
}

bool is_semver(std::string_view text) {
  if (!take_version_core(text)) return false;
  if (take(text, '-')) {
    const std::size_t plus = text.find('+');
    if (!is_dotted(text.substr(0, plus), is_prerelease_identifier)) return false;
    text.remove_prefix(std::min(plus, text.size()));
  }
  if (take(text, '+')) return is_dotted(text, is_build_identifier);
  return text.empty();
}

bool is_plain_semver(std::string_view text) {
  return take_version_core(text) && text.empty();
}

bool is_model_name(std::string_view text) {
  return consists_of(text, [](char c) { return is_alphanumeric(c) || is_one_of(c, "._:/-"); });
}

bool is_config_key(std::string_view text) {
  return consists_of(text, [](char c) { return is_alphanumeric(c) || is_one_of(c, "._-"); });
}

bool is_env_name(std::string_view text) {
  return consists_of(text, [](char c) { return is_alphanumeric(c) || c == '_'; }) &&
         !is_digit(text.front());
}

bool is_hostname(std::string_view text) {
  if (text.size() > 253 || !is_dotted(text, is_host_label)) return false;
  const std::string_view last_label = text.substr(text.rfind('.') + 1);
  return !consists_of(last_label, is_digit);
}

bool is_uri(std::string_view text) {
  if (text.empty() || !is_letter(text.front())) return false;
  take_while(text, [](char c) { return is_alphanumeric(c) || is_one_of(c, "+-."); });
  if (!take(text, ':')) return false;
  if (text.starts_with("//")) {
    const std::string_view rest = text.substr(2);
    if (rest.empty() || is_one_of(rest.front(), "/?#")) return false;
  }
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%') {
      if (i + 2 >= text.size() || !is_hex_digit(text[i + 1]) || !is_hex_digit(text[i + 2])) {
        return false;
      }
    } else if (!is_alphanumeric(text[i]) && !is_one_of(text[i], "-._~:/?#[]@!$&'()*+,;=")) {
      return false;
    }
  }
  return true;
}

bool is_header_name(std::string_view text) {
  return consists_of(text,
                     [](char c) { return is_alphanumeric(c) || is_one_of(c, "!#$%&'*+-.^_`|~"); });
}

bool has_path_traversal(std::string_view path) {
  return path == ".." || path.starts_with("../") || path.ends_with("/..") ||
         path.find("/../") != std::string_view::npos;
}

std::size_t length(std::string_view text) {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xC0U) != 0x80U;
  }));
}

std::string quoted(std::string_view text) {
  constexpr std::size_t shown_bytes_max = 100;
  if (text.size() <= shown_bytes_max) return json_quote(text);
  std::size_t cut = shown_bytes_max;
  while (cut > 0 && (static_cast<unsigned char>(text[cut]) & 0xC0U) == 0x80U) --cut;
  return json_quote(std::string(text.substr(0, cut)) + "...");
}

}  // namespace staithe::service::rules
