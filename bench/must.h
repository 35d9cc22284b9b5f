#pragma once

#include <utility>

#include "base/check.h"
#include "base/result.h"

namespace staithe::bench {

// A bench has nobody to hand an error to.
template <typename T>
T must(Result<T> result) {
  CHECK_THAT(result.has_value(), result ? "" : result.error().message);
  return std::move(result).value();
}
inline void must(const Result<void>& result) {
  CHECK_THAT(result.has_value(), result ? "" : result.error().message);
}

}  // namespace staithe::bench
