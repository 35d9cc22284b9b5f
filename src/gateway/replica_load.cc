#include "gateway/replica_load.h"

#include <utility>

namespace staithe::gateway {

InFlight::InFlight(std::shared_ptr<ReplicaLoad> load, Gauge& gauge)
    : load_(std::move(load)), gauge_(&gauge) {
  load_->in_flight_.fetch_add(1, std::memory_order_relaxed);
  gauge_->add(1);
}

InFlight::InFlight(InFlight&& other) noexcept
    : load_(std::move(other.load_)), gauge_(std::exchange(other.gauge_, nullptr)) {}

InFlight& InFlight::operator=(InFlight&& other) noexcept {
  if (this != &other) {
    release();
    load_ = std::move(other.load_);
    gauge_ = std::exchange(other.gauge_, nullptr);
  }
  return *this;
}

void InFlight::release() {
  if (load_ == nullptr) return;
  load_->in_flight_.fetch_sub(1, std::memory_order_relaxed);
  gauge_->add(-1);
  load_.reset();
  gauge_ = nullptr;
}

std::shared_ptr<ReplicaLoad> ReplicaLoads::at(const std::string& id,
                                              const net::Endpoint& endpoint) {
  const std::lock_guard lock(mutex_);
  Entry& entry = by_id_[id];
  auto load = entry.load.lock();
  if (load == nullptr) {
    load = std::make_shared<ReplicaLoad>(id);
    entry.load = load;
  } else if (entry.endpoint != endpoint) {
    load->trust();
  }
  entry.endpoint = endpoint;
  return load;
}

std::uint32_t ReplicaLoads::in_flight(std::string_view id) const {
  const std::lock_guard lock(mutex_);
  const auto found = by_id_.find(id);
  if (found == by_id_.end()) return 0;
  const auto load = found->second.load.lock();
  return load == nullptr ? 0 : load->in_flight();
}

void ReplicaLoads::forget_unused() {
  const std::lock_guard lock(mutex_);
  std::erase_if(by_id_, [](const auto& item) { return item.second.load.expired(); });
}

}  // namespace staithe::gateway
