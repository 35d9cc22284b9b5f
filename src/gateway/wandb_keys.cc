#include "gateway/wandb_keys.h"

#include <simdjson.h>

#include <utility>

#include "auth/token.h"
#include "base/encoding.h"

namespace staithe::gateway {

using Verdict = KeyAnswer::Verdict;

std::string wandb_question() {
  return R"({"query":"query Viewer { viewer { id username entity } }","variables":{}})";
}

std::string wandb_authorization(std::string_view key) {
  return "Basic " + base64("api:" + std::string(key));
}

KeyAnswer read_wandb_answer(std::uint16_t status, std::string_view body) {
  if (status == 401 || status == 403) return {.verdict = Verdict::invalid, .entity = {}};
  if (status != 200) return {};
  simdjson::dom::parser parser;
  simdjson::dom::object answer;
  simdjson::dom::element viewer;
  if (parser.parse(body.data(), body.size()).get(answer)) return {};
  if (answer.at_pointer("/data/viewer").get(viewer)) return {};
  // Without a key, or with one that means nobody, there is no viewer.
  if (viewer.is_null()) return {.verdict = Verdict::invalid, .entity = {}};
  for (const std::string_view member : {"entity", "username"}) {
    std::string_view name;
    if (!viewer.at_key(member).get(name) && !name.empty()) {
      return {.verdict = Verdict::valid, .entity = std::string(name)};
    }
  }
  return {};
}

void WandbKeys::Wait::call(const KeyAnswer& answer) {
  const std::lock_guard lock(mutex_);
  if (done_) done_(answer);
  done_ = nullptr;
}

void WandbKeys::Wait::cancel() {
  const std::lock_guard lock(mutex_);
  done_ = nullptr;
}

WandbKeys::WaitHandle& WandbKeys::WaitHandle::operator=(WaitHandle&& other) noexcept {
  if (wait_ != nullptr) wait_->cancel();
  wait_ = std::move(other.wait_);
  return *this;
}

WandbKeys::WaitHandle::~WaitHandle() {
  if (wait_ != nullptr) wait_->cancel();
}

WandbKeys::WandbKeys(const Clock& clock, Metrics& metrics, const Options& options, Ask ask)
    : clock_(clock),
      options_(options),
      valid_(metrics.counter("staithe_wandb_keys_total", "Keys that W&B was asked about.",
                             {{"verdict", "valid"}})),
      invalid_(metrics.counter("staithe_wandb_keys_total", "Keys that W&B was asked about.",
                               {{"verdict", "invalid"}})),
      unknown_(metrics.counter("staithe_wandb_keys_total", "Keys that W&B was asked about.",
                               {{"verdict", "unknown"}})),
      self_(std::make_shared<std::pair<std::mutex, WandbKeys*>>()),
      ask_(std::move(ask)) {
  self_->second = this;
}

WandbKeys::~WandbKeys() {
  const std::lock_guard lock(self_->first);
  self_->second = nullptr;
}

std::variant<KeyAnswer, WandbKeys::WaitHandle> WandbKeys::find(std::string_view key, Done done) {
  std::string hash = auth::hash_token(key);
  const Instant now = clock_.instant();
  std::shared_ptr<Wait> wait;
  {
    const std::lock_guard lock(mutex_);
    const auto found = by_hash_.find(hash);
    const bool is_known = found != by_hash_.end();
    if (is_known) {
      entries_.splice(entries_.begin(), entries_, found->second);
    } else {
      make_room();
      if (entries_.size() >= options_.keys_max) return KeyAnswer{};
      Entry& added = entries_.emplace_front();
      added.hash = hash;
      by_hash_.emplace(added.hash, entries_.begin());
    }
    Entry& entry = entries_.front();
    if (!entry.is_asked && is_known && now < entry.fresh_until) return entry.answer;
    wait = std::make_shared<Wait>(std::move(done));
    entry.waiting.push_back(wait);
    if (std::exchange(entry.is_asked, true)) return WaitHandle(std::move(wait));
  }
  ask_(std::string(key), [self = self_, hash = std::move(hash)](KeyAnswer answer) {
    const std::lock_guard lock(self->first);
    if (self->second != nullptr) self->second->take(hash, std::move(answer));
  });
  return WaitHandle(std::move(wait));
}

void WandbKeys::take(const std::string& hash, KeyAnswer answer) {
  std::vector<std::shared_ptr<Wait>> waiting;
  {
    const std::lock_guard lock(mutex_);
    Entry& entry = *by_hash_.at(hash);  // one that is asked for is not let go
    const Instant now = clock_.instant();
    const bool was_valid = entry.answer.verdict == Verdict::valid &&
                           now < entry.valid_at + options_.valid_for + options_.stale_max;
    if (answer.verdict == Verdict::valid) {
      valid_.add();
      entry.valid_at = now;
      entry.fresh_until = now + options_.valid_for;
      entry.answer = std::move(answer);
    } else if (answer.verdict == Verdict::invalid) {
      invalid_.add();
      entry.fresh_until = now + options_.invalid_for;
      entry.answer = std::move(answer);
    } else {
      unknown_.add();
      entry.fresh_until = now + (was_valid ? options_.asked_again_after : options_.unknown_for);
      if (!was_valid) entry.answer = std::move(answer);
    }
    entry.is_asked = false;
    answer = entry.answer;
    waiting = std::exchange(entry.waiting, {});
  }
  for (const auto& wait : waiting) wait->call(answer);
}

// The one that was not used for longest goes.
void WandbKeys::make_room() {
  if (entries_.size() < options_.keys_max) return;
  for (auto at = entries_.end(); at != entries_.begin();) {
    --at;
    if (at->is_asked) continue;
    by_hash_.erase(at->hash);
    entries_.erase(at);
    return;
  }
}

}  // namespace staithe::gateway
