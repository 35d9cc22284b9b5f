#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/metrics.h"
#include "net/http_client.h"

namespace staithe::gateway {

// What is going on at one replica, shared by all loops and by successive route tables. Any thread.
// On a cache line of its own, since every request on every core counts here.
class alignas(64) ReplicaLoad {
 public:
  explicit ReplicaLoad(std::string id) : id_(std::move(id)) {}

  const std::string& id() const { return id_; }
  std::uint32_t in_flight() const { return in_flight_.load(std::memory_order_relaxed); }

  // A replica that could not be connected to is avoided for a short while.
  bool is_avoided(Instant now) const {
    return now.time_since_epoch().count() < avoided_until_.load(std::memory_order_relaxed);
  }
  void avoid_until(Instant time) {
    avoided_until_.store(time.time_since_epoch().count(), std::memory_order_relaxed);
  }
  void trust() { avoided_until_.store(0, std::memory_order_relaxed); }

 private:
  friend class InFlight;

  const std::string id_;
  std::atomic<std::uint32_t> in_flight_{0};
  std::atomic<Instant::rep> avoided_until_{0};
};

// One request at one replica, counted from the choice of the replica until this guard goes. The
// only way to count, so that no path can forget to count down.
class InFlight {
 public:
  InFlight() = default;
  InFlight(std::shared_ptr<ReplicaLoad> load, Gauge& gauge);
  InFlight(InFlight&& other) noexcept;
  InFlight& operator=(InFlight&& other) noexcept;
  ~InFlight() { release(); }

  void release();
  ReplicaLoad* load() const { return load_.get(); }
  const std::shared_ptr<ReplicaLoad>& shared_load() const { return load_; }

 private:
  std::shared_ptr<ReplicaLoad> load_;
  Gauge* gauge_ = nullptr;
};

// The loads of all replicas by id. A load lives as long as a route table or a running request names
// it, so that a replica which was taken out of the table can be watched until it is idle. Any
// thread.
class ReplicaLoads {
 public:
  // A replica that came back under another address is no longer avoided.
  std::shared_ptr<ReplicaLoad> at(const std::string& id, const net::Endpoint& endpoint);
  // 0 when nobody knows the id.
  std::uint32_t in_flight(std::string_view id) const;
  void forget_unused();

 private:
  struct Entry {
    std::weak_ptr<ReplicaLoad> load;
    net::Endpoint endpoint;
  };
  mutable std::mutex mutex_;  // guards by_id_
  std::map<std::string, Entry, std::less<>> by_id_;
};

}  // namespace staithe::gateway
