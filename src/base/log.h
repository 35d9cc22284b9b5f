#pragma once

#include <fmt/format.h>

#include <initializer_list>
#include <string>
#include <string_view>

namespace staithe {

enum class LogLevel { debug, info, warning, error };

// One key and its value, already text. The key is a plain word; the value is escaped.
struct LogField {
  template <typename T>
  LogField(std::string_view field_key, const T& field_value)
      : key(field_key), value(fmt::format("{}", field_value)) {}

  std::string_view key;
  std::string value;
};

// Writes lines of JSON to a file descriptor, one write each. Any thread. Callers keep secrets out:
// tokens, keys and prompts are never fields.
class Log {
 public:
  explicit Log(int fd = 2, LogLevel least = LogLevel::info) : fd_(fd), least_(least) {}

  void debug(std::string_view event, std::initializer_list<LogField> fields = {}) const {
    write(LogLevel::debug, event, fields);
  }
  void info(std::string_view event, std::initializer_list<LogField> fields = {}) const {
    write(LogLevel::info, event, fields);
  }
  void warning(std::string_view event, std::initializer_list<LogField> fields = {}) const {
    write(LogLevel::warning, event, fields);
  }
  void error(std::string_view event, std::initializer_list<LogField> fields = {}) const {
    write(LogLevel::error, event, fields);
  }

 private:
  void write(LogLevel level, std::string_view event, std::initializer_list<LogField> fields) const;

  int fd_;
  LogLevel least_;
};

}  // namespace staithe
