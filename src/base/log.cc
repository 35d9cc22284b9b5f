#include "base/log.h"

#include <unistd.h>

#include "base/clock.h"
#include "base/encoding.h"
#include "base/time_text.h"

namespace staithe {

namespace {

// What a pipe takes in one piece (PIPE_BUF).
constexpr std::size_t piece_bytes_max = 4096;

void append_line(std::string& out, LogLevel level, std::string_view event,
                 std::initializer_list<LogField> fields) {
  static constexpr std::string_view names[] = {"debug", "info", "warning", "error"};
  // A log line carries the real time even where a test's clock stands still.
  out += R"({"time":")";
  append_timestamp(out, SystemClock{}.now());
  out.append(R"(","level":")").append(names[static_cast<std::size_t>(level)]);
  out += R"(","event":)";
  append_json_quoted(out, event);
  for (const LogField& field : fields) {
    out += ',';
    append_json_quoted(out, field.key);
    out += ':';
    append_json_quoted(out, field.value());
  }
  out += "}\n";
}

}  // namespace

void Log::write(LogLevel level, std::string_view event,
                std::initializer_list<LogField> fields) const {
  if (!is_written(level)) return;
  std::string line;
  append_line(line, level, event, fields);
  write_out(line);
}

void Log::write_out(std::string_view lines) const {
  while (!lines.empty()) {
    const ssize_t written = ::write(fd_, lines.data(), lines.size());
    if (written <= 0) return;  // nowhere left to say so
    lines.remove_prefix(static_cast<std::size_t>(written));
  }
}

void LogBatch::info(std::string_view event, std::initializer_list<LogField> fields) {
  if (!log_.is_written(LogLevel::info)) return;
  const std::size_t size_before = lines_.size();
  append_line(lines_, LogLevel::info, event, fields);
  if (lines_.size() <= piece_bytes_max) return;
  log_.write_out(std::string_view(lines_).substr(0, size_before));
  lines_.erase(0, size_before);
}

void LogBatch::write() {
  log_.write_out(lines_);
  lines_.clear();
}

}  // namespace staithe
