#pragma once

#include <fmt/format.h>

#include <initializer_list>
#include <string>
#include <string_view>
#include <type_traits>

namespace staithe {

enum class LogLevel { debug, info, warning, error };

// One key and its value, for the time of a call. The key is a plain word; the value is escaped.
class LogField {
 public:
  template <typename T>
  LogField(std::string_view field_key, const T& field_value) : key(field_key) {
    if constexpr (std::is_convertible_v<const T&, std::string_view>) {
      text_ = field_value;
    } else {
      formatted_ = fmt::format("{}", field_value);
    }
  }

  std::string_view value() const { return formatted_.empty() ? text_ : formatted_; }

  const std::string_view key;

 private:
  std::string_view text_;
  std::string formatted_;
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

  bool is_written(LogLevel level) const { return level >= least_; }

 private:
  friend class LogBatch;
  void write(LogLevel level, std::string_view event, std::initializer_list<LogField> fields) const;
  void write_out(std::string_view lines) const;

  int fd_;
  LogLevel least_;
};

// Lines that are gathered and written together, for who writes very many. Of one thread. Lines of
// others that come meanwhile are written first, and none is ever cut in two by another: a pipe
// takes as much at once as is written at once here.
class LogBatch {
 public:
  explicit LogBatch(const Log& log) : log_(log) {}
  ~LogBatch() { write(); }
  LogBatch(const LogBatch&) = delete;
  LogBatch& operator=(const LogBatch&) = delete;

  void info(std::string_view event, std::initializer_list<LogField> fields);
  void write();

 private:
  const Log& log_;
  std::string lines_;
};

}  // namespace staithe
