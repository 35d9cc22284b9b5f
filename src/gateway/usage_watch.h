#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <variant>

#include "base/clock.h"
#include "gateway/body_peek.h"
#include "gateway/usage_scanner.h"
#include "gateway/usage_stream.h"
#include "gateway/usage_table.h"
#include "net/http_message.h"

namespace staithe::gateway {

// Who pays for a request.
struct UsageCaller {
  std::string organization;
  std::string token_id;
};

// Finds out what one request costs in tokens while it passes: it makes a streaming request ask its
// engine for usage where the client did not, reads the answer, and books what it found, or what it
// believes if the engine told nothing. One loop.
class UsageWatch {
 public:
  // Asking is for paths whose engines know stream_options.
  enum class Asking : std::uint8_t { where_known, never };
  static constexpr std::size_t bytes_per_token = 4;  // of a prompt, roughly

  // `table` may be null: what is found out is for limits alone.
  UsageWatch(UsageTable* table, UsageCaller caller, std::string_view target, Asking asking);

  // The whole body is here. It is changed if usage has to be asked for.
  void take_request(std::string& body, const AnswerWish& wish);
  void pass_request(std::size_t byte_count) { request_bytes_ += byte_count; }

  void take_model(const std::string& name) { model_ = name; }
  void take_answer(const net::ResponseHead& head);
  // What may be passed on; see UsageStream::feed.
  std::string_view take_answer_body(std::string_view bytes);
  // What was kept back, when the answer ends properly.
  std::string_view finish_answer();

  // How it ended. Books it, once, and says what it booked.
  enum class End : std::uint8_t { complete, aborted, failed };
  UsageTotals end(End how, const std::string& deployment_id, Timestamp now);

  // As far as is known. Exact once the engine has told.
  UsageTotals totals() const;
  // What the request may use, by what it says.
  std::uint64_t expected_tokens(const AnswerWish& wish, std::uint64_t answer_tokens) const;

 private:
  UsageTable* const table_;
  const UsageCaller caller_;
  std::string model_;
  std::variant<std::monostate, UsageScanner, UsageStream> reader_;
  std::size_t request_bytes_ = 0;
  const bool may_ask_;
  bool has_asked_ = false;
  bool is_answered_ = false;  // with 2xx
  bool is_whole_ = false;     // the answer
  bool is_booked_ = false;
};

}  // namespace staithe::gateway
