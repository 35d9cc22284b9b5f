#include "base/check.h"

#include <cstdio>
#include <cstdlib>

namespace staithe {

void check_failed(std::string_view expression, std::string_view detail,
                  const std::source_location& where) {
  std::fprintf(stderr, "CHECK failed at %s:%u in %s: %.*s%s%.*s\n", where.file_name(), where.line(),
               where.function_name(), static_cast<int>(expression.size()), expression.data(),
               detail.empty() ? "" : ": ", static_cast<int>(detail.size()), detail.data());
  std::fflush(stderr);
  std::abort();
}

}  // namespace staithe
