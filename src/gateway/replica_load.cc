#include "gateway/replica_load.h"

#include <utility>

#include "gateway/affinity.h"

namespace staithe::gateway {
namespace {

// Until first bytes have told: about 12,000 tokens a second, as a large model on good hardware.
constexpr double ns_per_byte_at_first = 20'000;
constexpr std::uint64_t paced_bytes_min = 64 * 1024;
// The pace is that of the last few megabytes.
constexpr std::uint64_t paced_bytes_max = 2 * 1024 * 1024;

}  // namespace

double ReplicaLoad::ns_per_byte() const {
  const std::uint64_t paced_bytes = paced_bytes_.load(std::memory_order_relaxed);
  const std::uint64_t paced_ns = paced_ns_.load(std::memory_order_relaxed);
  if (paced_bytes < paced_bytes_min) return ns_per_byte_at_first;
  return static_cast<double>(paced_ns) / static_cast<double>(paced_bytes);
}

void ReplicaLoad::expect(std::uint64_t bytes, Instant now) {
  const Duration took{static_cast<Duration::rep>(static_cast<double>(bytes) * ns_per_byte())};
  const Instant read_up_to = now + backlog(now) + took;
  read_up_to_.store(read_up_to.time_since_epoch().count(), std::memory_order_relaxed);
  read_bytes_.fetch_add(bytes, std::memory_order_relaxed);
}

void ReplicaLoad::learn_pace(std::uint64_t bytes, Instant sent_at, Instant now) {
  // It read the prompt before until that one's first byte, or was at rest until this came.
  const Instant before{Duration{first_byte_at_.load(std::memory_order_relaxed)}};
  const Duration took = now - std::min(now, std::max(before, sent_at));
  first_byte_at_.store(now.time_since_epoch().count(), std::memory_order_relaxed);
  std::uint64_t paced_bytes = paced_bytes_.load(std::memory_order_relaxed) + bytes;
  std::uint64_t paced_ns =
      paced_ns_.load(std::memory_order_relaxed) + static_cast<std::uint64_t>(took.count());
  if (paced_bytes > paced_bytes_max) {
    paced_bytes /= 2;
    paced_ns /= 2;
  }
  paced_bytes_.store(paced_bytes, std::memory_order_relaxed);
  paced_ns_.store(paced_ns, std::memory_order_relaxed);
}

std::optional<Duration> ReplicaLoad::eject(const Ejection& ejection, Instant now) {
  Instant::rep until = ejected_until_.load(std::memory_order_relaxed);
  if (now.time_since_epoch().count() < until) return std::nullopt;
  const Duration before{ejected_for_.load(std::memory_order_relaxed)};
  const bool was_fine_since = now - Instant{Duration{until}} > before;
  const Duration time = before.count() == 0 || was_fine_since
                            ? ejection.first
                            : std::min(before * 2, ejection.longest);
  const Instant::rep new_until = (now + time).time_since_epoch().count();
  if (!ejected_until_.compare_exchange_strong(until, new_until)) return std::nullopt;
  ejected_for_.store(time.count(), std::memory_order_relaxed);
  // What is counted is at least as much as was too many this time.
  failures_.fetch_sub(1, std::memory_order_relaxed);
  return time;
}

void ReplicaLoad::forget_failures() {
  trust();
  failures_.store(0, std::memory_order_relaxed);
  ejected_until_.store(0, std::memory_order_relaxed);
  ejected_for_.store(0, std::memory_order_relaxed);
}

void ReplicaLoad::correct(Duration late) {
  read_up_to_.fetch_add(late.count(), std::memory_order_relaxed);
  corrected_by_.fetch_add(late.count(), std::memory_order_relaxed);
}

bool ReplicaLoad::take_slot(std::uint32_t concurrency) {
  if (concurrency == 0) {
    in_flight_.fetch_add(1, std::memory_order_relaxed);
    return true;
  }
  std::uint32_t count = in_flight_.load(std::memory_order_relaxed);
  while (count < concurrency) {
    if (in_flight_.compare_exchange_weak(count, count + 1, std::memory_order_relaxed)) return true;
  }
  return false;
}

// In this order and no weaker; see DeploymentQueue.
void ReplicaLoad::free_slot() {
  in_flight_.fetch_sub(1);
  if (queue_ != nullptr && queue_->is_waited_in()) queue_->call_next();
}

InFlight::InFlight(std::shared_ptr<ReplicaLoad> load, Gauge& gauge, const Prompt& prompt)
    : load_(std::move(load)), gauge_(&gauge), prompt_(prompt) {
  load_->take_slot(0);
  begin();
}

std::optional<InFlight> InFlight::reserve(const std::shared_ptr<ReplicaLoad>& load,
                                          std::uint32_t concurrency, Gauge& gauge,
                                          const Prompt& prompt) {
  if (!load->take_slot(concurrency)) return std::nullopt;
  InFlight reserved;
  reserved.load_ = load;
  reserved.gauge_ = &gauge;
  reserved.prompt_ = prompt;
  reserved.begin();
  return reserved;
}

void InFlight::begin() {
  gauge_->add(1);
  if (prompt_.unread_bytes == 0) return;
  is_answered_ = false;
  load_->expect(prompt_.unread_bytes, prompt_.sent_at);
  expected_at_ = prompt_.sent_at + load_->backlog(prompt_.sent_at) - load_->corrected_by();
}

InFlight::InFlight(InFlight&& other) noexcept
    : load_(std::move(other.load_)),
      gauge_(std::exchange(other.gauge_, nullptr)),
      prompt_(other.prompt_),
      expected_at_(other.expected_at_),
      is_answered_(other.is_answered_) {}

InFlight& InFlight::operator=(InFlight&& other) noexcept {
  if (this != &other) {
    release();
    load_ = std::move(other.load_);
    gauge_ = std::exchange(other.gauge_, nullptr);
    prompt_ = other.prompt_;
    expected_at_ = other.expected_at_;
    is_answered_ = other.is_answered_;
  }
  return *this;
}

void InFlight::answer_begun(Instant now) {
  if (load_ == nullptr || std::exchange(is_answered_, true)) return;
  load_->learn_pace(prompt_.unread_bytes, prompt_.sent_at, now);
  load_->correct(now - (expected_at_ + load_->corrected_by()));
}

void InFlight::release() {
  if (load_ == nullptr) return;
  gauge_->add(-1);
  gauge_ = nullptr;
  load_->free_slot();
  load_.reset();
}

std::shared_ptr<ReplicaLoad> ReplicaLoads::at(const std::string& id, const net::Endpoint& endpoint,
                                              const std::shared_ptr<DeploymentQueue>& queue) {
  const std::lock_guard lock(mutex_);
  Entry& entry = by_id_[id];
  auto load = entry.load.lock();
  if (load == nullptr) {
    load = std::make_shared<ReplicaLoad>(id, next_number_, queue);
    next_number_ = next_number_ + 1 == AffinityTable::replicas_end ? 1 : next_number_ + 1;
    entry.load = load;
  } else if (entry.endpoint != endpoint) {
    load->forget_failures();
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
