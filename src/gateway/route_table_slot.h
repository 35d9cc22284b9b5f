#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string_view>
#include <vector>

#include "base/metrics.h"
#include "gateway/affinity.h"
#include "gateway/demand.h"
#include "gateway/gateway_metrics.h"
#include "gateway/replica_load.h"
#include "gateway/route_table.h"
#include "net/event_loop.h"

namespace staithe::gateway {

// Where route tables are handed in. Every loop gets each table as a message and reads its own copy
// of the pointer, so that no request takes a lock. Any thread.
class RouteTableSlot {
 public:
  // `affinity_bytes_max` is the memory for what is known of replicas' caches.
  explicit RouteTableSlot(Metrics& metrics, std::size_t affinity_bytes_max = 32 * 1024 * 1024);
  RouteTableSlot(const RouteTableSlot&) = delete;
  RouteTableSlot& operator=(const RouteTableSlot&) = delete;

  // Replaces everything that is served. The number says which table this is.
  std::uint64_t publish(const GatewayRoutes& gateways);
  // True once every loop chooses from this table or a later one: from then on a replica that the
  // table left out gets no new request, and in_flight() of it only falls.
  bool is_adopted(std::uint64_t generation) const;

  // Requests at this replica on all loops, also after it left the table.
  std::uint32_t in_flight(std::string_view replica_id) const {
    return loads_.in_flight(replica_id);
  }
  // The requests of each deployment on all loops.
  DemandTable& demands() { return demands_; }
  // Which replicas have read which prompts, shared by all loops.
  AffinityTable& affinity() { return affinity_; }
  GatewayMetrics& metrics() { return metrics_; }

 private:
  friend class RouteTableReader;
  struct LoopCopy {
    std::shared_ptr<const RouteTable> table;  // of the loop's thread
    std::function<void(const RouteTable& table)> on_change;
    std::atomic<std::uint64_t> generation{0};
  };
  struct Subscriber {
    net::EventLoop* loop;
    std::shared_ptr<LoopCopy> copy;
  };

  GatewayMetrics metrics_;
  ReplicaLoads loads_;
  DemandTable demands_;
  QueueTable queues_;
  AffinityTable affinity_;
  mutable std::mutex mutex_;  // guards what follows
  std::shared_ptr<const RouteTable> current_;
  std::uint64_t generation_ = 0;
  std::size_t built_since_forgetting_ = 0;  // deployments
  std::vector<Subscriber> subscribers_;
};

// One loop's view of the slot. Made and destroyed before its loop; read on the loop's thread.
class RouteTableReader {
 public:
  // `on_change` runs on the loop for each table that took the place of the one before; none is left
  // out.
  RouteTableReader(RouteTableSlot& slot, net::EventLoop& loop,
                   std::function<void(const RouteTable&)> on_change);
  ~RouteTableReader();
  RouteTableReader(const RouteTableReader&) = delete;
  RouteTableReader& operator=(const RouteTableReader&) = delete;

  const std::shared_ptr<const RouteTable>& table() const { return copy_->table; }

 private:
  RouteTableSlot& slot_;
  std::shared_ptr<RouteTableSlot::LoopCopy> copy_;
};

}  // namespace staithe::gateway
