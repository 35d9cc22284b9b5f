#include "gateway/route_table_slot.h"

#include <algorithm>
#include <utility>

namespace staithe::gateway {
namespace {

// The same table behind a count of its own: requests pin the table, and loops that shared one count
// would pass its cache line around.
std::shared_ptr<const RouteTable> with_own_count(const std::shared_ptr<const RouteTable>& table) {
  auto holder = std::make_shared<const std::shared_ptr<const RouteTable>>(table);
  const RouteTable* const raw = table.get();
  return {std::move(holder), raw};
}

}  // namespace

RouteTableSlot::RouteTableSlot(Metrics& metrics, std::size_t affinity_bytes_max)
    : metrics_(metrics),
      affinity_(affinity_bytes_max),
      current_(std::make_shared<const RouteTable>()) {}

std::uint64_t RouteTableSlot::publish(const GatewayRoutes& gateways) {
  const std::lock_guard lock(mutex_);
  current_ = std::make_shared<const RouteTable>(
      gateways,
      RouteParts{.loads = loads_, .demands = demands_, .queues = queues_, .metrics = metrics_},
      current_.get());
  const std::uint64_t generation = ++generation_;
  for (const Subscriber& subscriber : subscribers_) {
    subscriber.loop->post(
        [copy = subscriber.copy, table = with_own_count(current_), generation]() mutable {
          copy->table = std::move(table);
          copy->generation.store(generation, std::memory_order_release);
          if (copy->on_change) copy->on_change(*copy->table);
        });
  }
  // Looking through all of them is done once per so many changes as there are of them.
  built_since_forgetting_ += current_->built_deployment_count() + 1;
  if (built_since_forgetting_ >= current_->deployment_count()) {
    built_since_forgetting_ = 0;
    loads_.forget_unused();
    demands_.forget_unused();
    queues_.forget_unused();
  }
  return generation;
}

bool RouteTableSlot::is_adopted(std::uint64_t generation) const {
  const std::lock_guard lock(mutex_);
  return generation_ >= generation &&
         std::all_of(subscribers_.begin(), subscribers_.end(), [generation](const auto& one) {
           return one.copy->generation.load(std::memory_order_acquire) >= generation;
         });
}

RouteTableReader::RouteTableReader(RouteTableSlot& slot, net::EventLoop& loop,
                                   std::function<void(const RouteTable&)> on_change)
    : slot_(slot), copy_(std::make_shared<RouteTableSlot::LoopCopy>()) {
  copy_->on_change = std::move(on_change);
  const std::lock_guard lock(slot_.mutex_);
  copy_->table = with_own_count(slot_.current_);
  copy_->generation = slot_.generation_;
  slot_.subscribers_.push_back({&loop, copy_});
}

RouteTableReader::~RouteTableReader() {
  {
    const std::lock_guard lock(slot_.mutex_);
    std::erase_if(slot_.subscribers_, [this](const auto& one) { return one.copy == copy_; });
  }
  copy_->on_change = nullptr;
}

}  // namespace staithe::gateway
