#pragma once

#include <source_location>
#include <string>
#include <string_view>

namespace staithe {

// Prints what did not hold and where, and ends the process. A restart is cheap and safe by design;
// going on with a broken invariant is neither.
[[noreturn]] void check_failed(std::string_view expression, std::string_view detail,
                               const std::source_location& where);

}  // namespace staithe

// CHECK(condition) is always on and guards our own invariants. Input from outside never reaches
// one.
#define CHECK(condition)                                                        \
  do {                                                                          \
    if (!(condition)) [[unlikely]] {                                            \
      ::staithe::check_failed(#condition, {}, std::source_location::current()); \
    }                                                                           \
  } while (false)
// CHECK_THAT(condition, "text with the values") says more.
#define CHECK_THAT(condition, detail)                                                 \
  do {                                                                                \
    if (!(condition)) [[unlikely]] {                                                  \
      ::staithe::check_failed(#condition, (detail), std::source_location::current()); \
    }                                                                                 \
  } while (false)
