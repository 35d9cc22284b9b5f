#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/metrics.h"
#include "gateway/deployment_queue.h"
#include "gateway/hints.h"
#include "net/http_client.h"

namespace staithe::gateway {

// What is going on at one replica, shared by all loops and by successive route tables. Any thread.
// On a cache line of its own, since every request on every core counts here.
class alignas(64) ReplicaLoad {
 public:
  // `number` stands for the replica where its id would be too long; see AffinityTable.
  // Who waits in `queue`, if there is one, is told of every request that ends.
  explicit ReplicaLoad(std::string id, std::uint32_t number = 0,
                       std::shared_ptr<DeploymentQueue> queue = nullptr)
      : number_(number), id_(std::move(id)), queue_(std::move(queue)) {}

  const std::string& id() const { return id_; }
  std::uint32_t number() const { return number_; }
  std::uint32_t in_flight() const { return in_flight_.load(std::memory_order_relaxed); }
  // Whether it may have one more request; a `concurrency` of 0 is no limit.
  bool has_room(std::uint32_t concurrency) const {
    return concurrency == 0 || in_flight_.load() < concurrency;
  }
  // All that the replica had to read of prompts, ever: the time by which its cache ages.
  std::uint64_t read_bytes() const { return read_bytes_.load(std::memory_order_relaxed); }

  // How long the replica will be busy with the prompts it was sent, by the books: each takes its
  // length times the pace that first bytes have shown, one after the other, and each first byte
  // puts right what was expected of those behind it.
  Duration backlog(Instant now) const {
    return std::max(Duration{0},
                    Instant{Duration{read_up_to_.load(std::memory_order_relaxed)}} - now);
  }
  // The pace: nanoseconds for each byte of a prompt.
  double ns_per_byte() const;

  EngineHints& hints() { return hints_; }
  const EngineHints& hints() const { return hints_; }

  // A replica that could not be connected to is avoided for a short while.
  // So is one that was ejected.
  bool is_avoided(Instant now) const {
    return now.time_since_epoch().count() < avoided_until_.load(std::memory_order_relaxed) ||
           is_ejected(now);
  }
  void avoid_until(Instant time) {
    avoided_until_.store(time.time_since_epoch().count(), std::memory_order_relaxed);
  }
  void trust() { avoided_until_.store(0, std::memory_order_relaxed); }

  // Failures one after the other; see outlier.h.
  std::uint32_t note_failure() { return failures_.fetch_add(1, std::memory_order_relaxed) + 1; }
  void note_success() {
    if (failures_.load(std::memory_order_relaxed) != 0) {
      failures_.store(0, std::memory_order_relaxed);
    }
  }
  struct Ejection {
    Duration first;
    Duration longest;
  };
  // How long for; nothing if it is ejected already. The first failure afterwards is one too many
  // again.
  std::optional<Duration> eject(const Ejection& ejection, Instant now);
  bool is_ejected(Instant now) const {
    return now.time_since_epoch().count() < ejected_until_.load(std::memory_order_relaxed);
  }
  void forget_failures();

 private:
  friend class InFlight;

  bool take_slot(std::uint32_t concurrency);
  void free_slot();
  void expect(std::uint64_t bytes, Instant now);
  void learn_pace(std::uint64_t bytes, Instant sent_at, Instant now);
  void correct(Duration late);
  Duration corrected_by() const { return Duration{corrected_by_.load(std::memory_order_relaxed)}; }

  std::atomic<std::uint32_t> in_flight_{0};
  std::atomic<std::uint64_t> read_bytes_{0};
  std::atomic<Instant::rep> avoided_until_{0};
  std::atomic<std::uint32_t> failures_{0};  // in a row
  std::atomic<Instant::rep> ejected_until_{0};
  std::atomic<Duration::rep> ejected_for_{0};  // the last time
  // Times on the way to an estimate. Loops that write them at once lose one another's news, which
  // the next first byte makes up for.
  std::atomic<Instant::rep> read_up_to_{0};     // when all prompts will have been read
  std::atomic<Duration::rep> corrected_by_{0};  // what first bytes have moved that by, in sum
  std::atomic<Instant::rep> first_byte_at_{0};  // the last
  std::atomic<std::uint64_t> paced_bytes_{0};   // of prompts, and how long they took: the pace
  std::atomic<std::uint64_t> paced_ns_{0};
  const std::uint32_t number_;
  EngineHints hints_;
  const std::string id_;
  const std::shared_ptr<DeploymentQueue> queue_;
};

// One request at one replica, counted from the choice of the replica until this guard goes. The
// only way to count, so that no path can forget to count down.
class InFlight {
 public:
  InFlight() = default;
  // `unread_bytes` is what the replica has to read anew of the prompt.
  struct Prompt {
    std::uint64_t unread_bytes = 0;
    Instant sent_at;
  };
  InFlight(std::shared_ptr<ReplicaLoad> load, Gauge& gauge, const Prompt& prompt);
  // Nothing if the replica has as many as it may have. All loops together never exceed that.
  static std::optional<InFlight> reserve(const std::shared_ptr<ReplicaLoad>& load,
                                         std::uint32_t concurrency, Gauge& gauge,
                                         const Prompt& prompt);
  InFlight(std::shared_ptr<ReplicaLoad> load, Gauge& gauge)
      : InFlight(std::move(load), gauge, Prompt{}) {}
  InFlight(InFlight&& other) noexcept;
  InFlight& operator=(InFlight&& other) noexcept;
  ~InFlight() { release(); }

  // The first byte of a streamed answer is there, so the prompt has been read. Answers that come
  // whole do not tell when it was.
  void answer_begun(Instant now);
  void release();
  ReplicaLoad* load() const { return load_.get(); }
  const std::shared_ptr<ReplicaLoad>& shared_load() const { return load_; }

 private:
  void begin();

  std::shared_ptr<ReplicaLoad> load_;
  Gauge* gauge_ = nullptr;
  Prompt prompt_;
  Instant expected_at_;  // the first byte; without the corrections up to then
  bool is_answered_ = true;
};

// The loads of all replicas by id. A load lives as long as a route table or a running request names
// it, so that a replica which was taken out of the table can be watched until it is idle. Any
// thread.
class ReplicaLoads {
 public:
  // A replica that came back under another address has a new start.
  std::shared_ptr<ReplicaLoad> at(const std::string& id, const net::Endpoint& endpoint,
                                  const std::shared_ptr<DeploymentQueue>& queue);
  // 0 when nobody knows the id.
  std::uint32_t in_flight(std::string_view id) const;
  void forget_unused();

 private:
  struct Entry {
    std::weak_ptr<ReplicaLoad> load;
    net::Endpoint endpoint;
  };
  mutable std::mutex mutex_;  // guards what follows
  std::map<std::string, Entry, std::less<>> by_id_;
  std::uint32_t next_number_ = 1;
};

}  // namespace staithe::gateway
