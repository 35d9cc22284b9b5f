#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "app/feeds.h"
#include "auth/token_table.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/random.h"
#include "base/worker_pool.h"
#include "bench/control/status_counter.h"
#include "bench/must.h"
#include "gateway/route_table_slot.h"
#include "model/catalogue_slot.h"
#include "reconcile/loop.h"
#include "runtime/fake/fake_driver.h"
#include "service/deployment_service.h"
#include "service/gateway_service.h"
#include "store/records.h"

namespace staithe::bench {

namespace pb = service::pb;

// What makes up a server but for sockets and engines: services, store, control loop and feeds, each
// on the threads it has in `staithe serve`.
class ControlPlane {
 public:
  ControlPlane(store::Store& store, const Clock& clock, Random& random, const Log& log,
               runtime::Driver& driver, const model::Catalogue& catalogue,
               reconcile::LoopOptions loop_options)
      : counter(store),
        offered(catalogue),
        gateways(store, clock, random, offered, options()),
        deployments(store, clock, random, offered, options()),
        routes_(metrics_),
        feeds_(clock, store, tokens_, routes_, limits_, log, {}, {}),
        driver_calls_("driver-call", 16, 4096),
        loop_(clock, random, log, counter, driver, driver_calls_, catalogue, loop_options,
              {.on_serving =
                   [this](const model::Id& id, std::vector<reconcile::ServingReplica> replicas) {
                     feeds_.serving(id, std::move(replicas));
                   },
               .is_drained = [this](const model::Id& id) { return feeds_.is_drained(id); },
               .demand = [this](const model::Id& id) { return feeds_.demand(id); },
               .active_deployments = [this] { return feeds_.active_deployments(); }}),
        subscription_(store.subscribe([this] {
          const std::lock_guard lock(mutex_);
          change_count_ += 1;
          changed_.notify_all();
        })) {
    must(feeds_.start());
    loop_.start();
  }
  ~ControlPlane() {
    subscription_.reset();
    loop_.stop();
    feeds_.stop();
  }

  // Waits until what the store says fulfils `is_done`, which is asked after each change.
  template <typename Condition>
  void wait_until(Condition is_done) {
    std::uint64_t seen = 0;
    while (!is_done()) {
      std::unique_lock lock(mutex_);
      changed_.wait_for(lock, std::chrono::seconds{1},
                        [this, seen] { return change_count_ != seen; });
      seen = change_count_;
    }
  }

  StatusCounter counter;  // the store as the loop sees it
  const model::CatalogueSlot offered;
  service::GatewayService gateways;
  service::DeploymentService deployments;

 private:
  static service::ServiceOptions options() {
    service::ServiceOptions options;
    options.endpoints.base_url = "http://127.0.0.1:8080";
    return options;
  }

  Metrics metrics_;
  auth::TokenTable tokens_;
  gateway::RouteTableSlot routes_;
  gateway::LimitBook limits_;
  app::Feeds feeds_;
  WorkerPool driver_calls_;
  reconcile::Loop loop_;

  std::mutex mutex_;  // guards change_count_
  std::condition_variable changed_;
  std::uint64_t change_count_ = 0;
  std::unique_ptr<store::Store::Subscription> subscription_;
};

}  // namespace staithe::bench
