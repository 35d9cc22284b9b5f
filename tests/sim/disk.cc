#include "sim/disk.h"

#include <algorithm>
#include <utility>
#include <variant>

namespace staithe::sim {
namespace {

using namespace std::chrono_literals;

Error unavailable() {
  return {.code = Code::unavailable,
          .message = "the database does not answer",
          .reason = std::string(store::reason_unavailable)};
}

}  // namespace

// ---- Disk

Result<store::Commit> Disk::commit(Writer writer, const store::Transaction& transaction) {
  Result<store::Commit> outcome = store_.commit_and_wait(transaction);
  if (!outcome) return outcome;
  const bool is_hidden = stage_.strikes(stage_.weather.feed_lags, "feed lags");
  if (is_hidden || !hidden_.empty()) {
    const Duration lag =
        is_hidden ? stage_.dice.between(Duration{1ms}, Duration{200ms}) : Duration{0};
    hidden_.emplace_back(outcome->revision, stage_.now() + lag);
  }
  revision_ = outcome->revision;
  if (writer == Writer::loop) commits_of_loop += 1;
  if (after_commit) after_commit(writer, transaction);
  return outcome;
}

std::uint64_t Disk::visible_revision() {
  while (!hidden_.empty() && (hidden_.front().second <= stage_.now() || !stage_.weather.is_storm)) {
    hidden_.pop_front();
  }
  return hidden_.empty() ? revision_ : hidden_.front().first - 1;
}

// ---- LoopStore

Result<void> LoopStore::enter() {
  if (!life_.goes_on()) return gone();
  if (disk_.is_out) return unavailable();
  return {};
}

Result<std::optional<store::Record>> LoopStore::get(store::Kind kind, std::string_view id) {
  TRY(enter());
  return disk_.store().get(kind, id);
}

Result<std::vector<store::Record>> LoopStore::list(store::Kind kind,
                                                   std::string_view organization) {
  TRY(enter());
  return disk_.store().list(kind, organization);
}

Result<std::optional<store::Record>> LoopStore::find(const store::UniqueKey& key) {
  TRY(enter());
  return disk_.store().find(key);
}

void LoopStore::commit(store::Transaction transaction, store::CommitDone done) {
  if (auto entered = enter(); !entered) return done(std::move(entered).error());
  if (meddled_ < meddled_max &&
      stage_.strikes(stage_.weather.somebody_else_writes, "somebody else writes")) {
    meddled_ += 1;
    // The control plane's steps are about records.
    const auto record = store::record_of(transaction.front());
    meddle(record->kind, std::string(record->id));
  }
  stage_.clock.advance(stage_.dice.between(Duration{500us}, Duration{5ms}));
  done(disk_.commit(Writer::loop, transaction));
}

Result<store::Changes> LoopStore::changes_since(std::uint64_t revision, std::size_t limit) {
  TRY(enter());
  const std::uint64_t visible = disk_.visible_revision();
  Result<store::Changes> changes = disk_.store().changes_since(revision, limit);
  if (!changes || changes->lost || changes->revision <= visible) return changes;
  std::erase_if(changes->changes,
                [visible](const store::Change& change) { return change.revision > visible; });
  changes->revision = std::max(revision, visible);
  return changes;
}

std::unique_ptr<store::Store::Subscription> LoopStore::subscribe(std::function<void()> wake) {
  return disk_.store().subscribe([this, wake = std::move(wake)] {
    if (stage_.strikes(stage_.weather.wake_is_lost, "wake lost")) return;
    const int times = stage_.strikes(stage_.weather.wake_is_doubled, "wake doubled") ? 2 : 1;
    for (int i = 0; i < times; ++i) {
      const Duration late = stage_.strikes(stage_.weather.wake_is_late, "wake late")
                                ? stage_.dice.between(Duration{1ms}, Duration{5s})
                                : Duration{0};
      stage_.timeline.after(late, owner_, [this, wake] {
        wake();
        on_wake_();
      });
    }
  });
}

// ---- ServiceStore

Result<std::optional<store::Record>> ServiceStore::get(store::Kind kind, std::string_view id) {
  if (is_down()) return unavailable();
  return disk_.store().get(kind, id);
}

Result<std::vector<store::Record>> ServiceStore::list(store::Kind kind,
                                                      std::string_view organization) {
  if (is_down()) return unavailable();
  return disk_.store().list(kind, organization);
}

Result<std::optional<store::Record>> ServiceStore::find(const store::UniqueKey& key) {
  if (is_down()) return unavailable();
  return disk_.store().find(key);
}

void ServiceStore::commit(store::Transaction transaction, store::CommitDone done) {
  if (is_down()) return done(unavailable());
  const std::uint64_t number = next_++;
  pending_.emplace(number, Pending{std::move(transaction), std::move(done)});
  if (stage_.dice.chance(0.5)) return write(number);
  stage_.timeline.after(stage_.dice.between(Duration{1ms}, Duration{400ms}), owner_,
                        [this, number] { write(number); });
}

Result<store::Changes> ServiceStore::changes_since(std::uint64_t revision, std::size_t limit) {
  if (is_down()) return unavailable();
  return disk_.store().changes_since(revision, limit);
}

std::unique_ptr<store::Store::Subscription> ServiceStore::subscribe(std::function<void()> wake) {
  return disk_.store().subscribe(std::move(wake));
}

void ServiceStore::write(std::uint64_t number) {
  const auto found = pending_.find(number);
  if (found == pending_.end()) return;
  const Pending pending = std::move(found->second);
  pending_.erase(found);
  if (is_down()) return pending.done(unavailable());
  pending.done(disk_.commit(Writer::service, pending.transaction));
}

void ServiceStore::flush() {
  while (!pending_.empty()) write(pending_.begin()->first);
}

void ServiceStore::abandon() {
  const auto pending = std::exchange(pending_, {});
  for (const auto& [number, each] : pending) {
    if (disk_.is_out || !stage_.dice.chance(0.5)) continue;
    stage_.counters.count("answer lost");
    (void)disk_.commit(Writer::service, each.transaction);
  }
}

}  // namespace staithe::sim
