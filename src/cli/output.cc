#include "cli/output.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/clock.h"
#include "base/time_text.h"

namespace staithe::cli {

using nlohmann::json;

namespace {

// Code points, counted by lead bytes.
std::size_t columns(const std::string& text) {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xc0) != 0x80;
  }));
}

}  // namespace

Error usage_error(std::string message) {
  return Error{.code = Code::invalid_argument, .message = std::move(message), .reason = "USAGE"};
}

void print_error(std::ostream& err, const Error& error) {
  err << fmt::format("{}: {}\n", code_name(error.code), error.message);
  for (const FieldViolation& violation : error.violations) {
    if (violation.description != error.message) {
      err << fmt::format("  {}: {}\n", violation.field, violation.description);
    }
  }
  for (const PreconditionViolation& violation : error.preconditions) {
    if (violation.description != error.message) err << fmt::format("  {}\n", violation.description);
  }
}

void print_table(std::ostream& out, const std::vector<Row>& rows, std::string_view indent) {
  std::vector<std::size_t> widths(rows.front().size(), 0);
  for (const Row& row : rows) {
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], columns(row[i]));
  }
  for (const Row& row : rows) {
    std::string line(indent);
    for (std::size_t i = 0; i < row.size(); ++i) {
      line += row[i];
      line.append(widths[i] - columns(row[i]) + 2, ' ');
    }
    line.erase(line.find_last_not_of(' ') + 1);
    out << line << '\n';
  }
}

std::string age(const std::string& time) {
  const auto parsed = parse_timestamp(time);
  if (!parsed) return "?";
  const auto seconds = std::abs(
      std::chrono::duration_cast<std::chrono::seconds>(SystemClock{}.now() - *parsed).count());
  if (seconds < 120) return fmt::format("{}s", seconds);
  if (seconds < 7200) return fmt::format("{}m", seconds / 60);
  if (seconds < 172'800) return fmt::format("{}h", seconds / 3600);
  return fmt::format("{}d", seconds / 86'400);
}

std::string counted(std::uint64_t count, std::string_view noun) {
  return fmt::format("{} {}{}", count, noun, count == 1 ? "" : "s");
}

std::string without_prefix(const std::string& word, std::string_view prefix) {
  return word.starts_with(prefix) ? word.substr(prefix.size()) : word;
}

std::string short_status(const json& resource) {
  return without_prefix(resource["status"].value("status", ""), "STATUS_");
}

std::string text_of(const json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string{};
}
std::uint64_t number_of(const json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_number_unsigned() ? found->get<std::uint64_t>() : 0;
}
bool flag_of(const json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_boolean() && found->get<bool>();
}
json list_of(const json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_array() ? *found : json::array();
}

}  // namespace staithe::cli
