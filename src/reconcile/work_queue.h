#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <tuple>
#include <utility>

#include "base/clock.h"
#include "base/random.h"
#include "reconcile/key.h"

namespace staithe::reconcile {

// What to look at and when. A key is in it at most once, with the earliest time asked for.
//
// Among the keys that are due, machines come before claims and claims before deployments, so that
// whole nodes are taken before single GPUs; equals come in the order in which they became due. One
// thread; it is told the time.
class WorkQueue {
 public:
  struct Options {
    Duration failure_delay_first = std::chrono::milliseconds{50};
    Duration failure_delay_max = std::chrono::seconds{30};
  };

  WorkQueue(Random& random, Options options) : random_(random), options_(options) {}

  void add(const Key& key, Instant due);
  // Takes out the next key that is due.
  std::optional<Key> pop(Instant now);

  // The key's last pass went well; its next failure waits the shortest delay again.
  void forget_failures(const Key& key) { failures_.erase(key); }
  // Puts the key back after a delay that doubles with each failure in a row, minus up to half of it
  // by chance, so that many which failed together do not come back together.
  void add_failed(const Key& key, Instant now);

  // When pop() has something, as far as is known; nothing if the queue is empty.
  std::optional<Instant> next_due() const;
  // When a key is to be looked at; nothing if it is not in the queue.
  std::optional<Instant> due_of(const Key& key) const;
  std::size_t size() const { return due_.size() + ready_keys_.size(); }

 private:
  using ReadyEntry = std::tuple<int, std::uint64_t, Key>;

  void promote(Instant now);

  Random& random_;
  const Options options_;
  std::map<Key, Instant> due_;  // keys that wait for their time
  std::set<std::pair<Instant, Key>> by_time_;
  std::set<ReadyEntry> ready_;  // keys whose time has come
  std::set<Key> ready_keys_;
  std::uint64_t next_turn_ = 0;
  std::map<Key, std::uint32_t> failures_;
};

}  // namespace staithe::reconcile
