#include "gateway/usage_watch.h"

#include <utility>

#include "gateway/forward_headers.h"

namespace staithe::gateway {
namespace {

bool knows_stream_options(std::string_view target) {
  const std::string_view path = target.substr(0, target.find('?'));
  return path == "/v1/chat/completions" || path == "/v1/completions";
}

bool is_json_answer(const net::ResponseHead& head) {
  const auto type = head.headers.find("content-type");
  return type && is_json(*type);
}

}  // namespace

UsageWatch::UsageWatch(UsageTable* table, UsageCaller caller, std::string_view target,
                       Asking asking)
    : table_(table),
      caller_(std::move(caller)),
      may_ask_(asking == Asking::where_known && knows_stream_options(target)) {}

void UsageWatch::take_request(std::string& body, const AnswerWish& wish) {
  request_bytes_ = body.size();
  if (!may_ask_ || !wish.is_stream || wish.is_usage_wanted || wish.ask.empty()) return;
  body.replace(wish.ask_begin, wish.ask_end - wish.ask_begin, wish.ask);
  has_asked_ = true;
}

void UsageWatch::take_answer(const net::ResponseHead& head) {
  is_answered_ = head.status >= 200 && head.status < 300;
  if (!is_answered_ || head.headers.find("content-encoding")) return;
  if (is_event_stream(head)) {
    reader_.emplace<UsageStream>(has_asked_ ? UsageStream::Extra::is_removed
                                            : UsageStream::Extra::passes);
  } else if (is_json_answer(head)) {
    reader_.emplace<UsageScanner>();
  }
}

std::string_view UsageWatch::take_answer_body(std::string_view bytes) {
  if (auto* stream = std::get_if<UsageStream>(&reader_)) return stream->feed(bytes);
  if (auto* scanner = std::get_if<UsageScanner>(&reader_)) scanner->feed(bytes);
  return bytes;
}

std::string_view UsageWatch::finish_answer() {
  is_whole_ = true;
  auto* stream = std::get_if<UsageStream>(&reader_);
  return stream == nullptr ? std::string_view{} : stream->finish();
}

UsageTotals UsageWatch::totals() const {
  UsageTotals totals;
  const auto* stream = std::get_if<UsageStream>(&reader_);
  const auto* scanner = std::get_if<UsageScanner>(&reader_);
  const ReportedTokens reported = stream != nullptr    ? stream->reported()
                                  : scanner != nullptr ? scanner->reported()
                                                       : ReportedTokens{};
  totals.prompt_tokens = reported.prompt.value_or(0);
  totals.cached_tokens = reported.cached.value_or(0);
  totals.completion_tokens = reported.completion.value_or(0);
  // A whole answer that is no stream and says nothing of tokens made none.
  if (!reported.is_empty() || (is_whole_ && stream == nullptr)) return totals;
  totals.estimated = 1;
  totals.prompt_tokens = (request_bytes_ + bytes_per_token - 1) / bytes_per_token;
  totals.completion_tokens = stream == nullptr ? 0 : stream->piece_count();
  return totals;
}

std::uint64_t UsageWatch::expected_tokens(const AnswerWish& wish,
                                          std::uint64_t answer_tokens) const {
  return request_bytes_ / bytes_per_token + (wish.tokens_max > 0 ? wish.tokens_max : answer_tokens);
}

UsageTotals UsageWatch::end(End how, const std::string& deployment_id, Timestamp now) {
  UsageTotals booked;
  if (is_answered_ || how == End::aborted) booked = totals();
  booked.requests = 1;
  booked.aborted = how == End::aborted ? 1 : 0;
  booked.failed = how == End::failed ? 1 : 0;
  if (table_ == nullptr || std::exchange(is_booked_, true)) return booked;
  table_->add({.hour = std::chrono::floor<std::chrono::hours>(now),
               .organization = caller_.organization,
               .token_id = caller_.token_id,
               .deployment_id = deployment_id,
               .model = model_},
              booked);
  return booked;
}

}  // namespace staithe::gateway
