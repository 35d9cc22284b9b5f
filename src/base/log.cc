#include "base/log.h"

#include <unistd.h>

#include "base/clock.h"
#include "base/encoding.h"
#include "base/time_text.h"

namespace staithe {

void Log::write(LogLevel level, std::string_view event,
                std::initializer_list<LogField> fields) const {
  if (level < least_) return;
  static constexpr std::string_view names[] = {"debug", "info", "warning", "error"};
  // A log line carries the real time even where a test's clock stands still.
  std::string line =
      fmt::format(R"({{"time":"{}","level":"{}","event":{})", format_timestamp(SystemClock{}.now()),
                  names[static_cast<std::size_t>(level)], json_quote(event));
  for (const LogField& field : fields) {
    line.append(",").append(json_quote(field.key)).append(":").append(json_quote(field.value));
  }
  line += "}\n";
  std::string_view rest = line;
  while (!rest.empty()) {
    const ssize_t written = ::write(fd_, rest.data(), rest.size());
    if (written <= 0) return;  // nowhere left to say so
    rest.remove_prefix(static_cast<std::size_t>(written));
  }
}

}  // namespace staithe
