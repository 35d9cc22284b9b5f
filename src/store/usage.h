#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "base/clock.h"

namespace staithe::store {

// What somebody used of something within an hour. Rows with one key are added up.
struct UsageRow {
  Timestamp hour;  // its beginning
  std::string organization;
  std::string token_id;
  std::string deployment_id;
  std::string model;

  std::uint64_t requests = 0;
  std::uint64_t aborted = 0;    // of them, left by their client
  std::uint64_t failed = 0;     // of them, refused by the engine or broken
  std::uint64_t estimated = 0;  // of them, whose tokens were not reported
  std::uint64_t prompt_tokens = 0;
  std::uint64_t cached_tokens = 0;
  std::uint64_t completion_tokens = 0;

  bool operator==(const UsageRow&) const = default;
};

// Which rows, and what of their key the sums keep apart. Empty texts are no filter.
struct UsageQuery {
  Timestamp from;  // hours that begin then or later
  Timestamp to;    // and before then
  std::string organization;
  std::string token_id;
  std::string deployment_id;
  std::string model;

  std::chrono::seconds period{0};  // sums for each of these since 1970; 0: one for all time
  bool is_by_organization = false;
  bool is_by_token = false;
  bool is_by_deployment = false;
  bool is_by_model = false;
  std::size_t rows_max = 10'000;  // the sums come in the order of their key, as many as this
};

}  // namespace staithe::store
