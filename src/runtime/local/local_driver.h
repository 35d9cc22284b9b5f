#pragma once

#include <future>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/random.h"
#include "base/thread.h"
#include "net/event_loop.h"
#include "net/http_client.h"
#include "runtime/driver.h"
#include "runtime/engine_catalogue.h"
#include "runtime/local/local_options.h"
#include "runtime/local/local_replica.h"
#include "runtime/weights.h"

namespace staithe::runtime {

// Runs engines as processes of this machine.
//
// All state belongs to one thread with an event loop; the calls of the interface hand their work
// to it and wait. What may take long (looking for weights and programs) is done by the caller's
// thread before. Any thread may call.
//
// Engines outlive the driver: destroying it, or killing this server, leaves them running, and the
// next driver on the same data directory takes them over.
class LocalDriver final : public Driver, private ReplicaOwner {
 public:
  // Takes stock of the machine and takes over what an earlier run left. Engines taken over are
  // asked at once whether they are ready, and this waits for the answers up to half a second, so
  // that the first look at them is not a false alarm.
  static Result<std::unique_ptr<LocalDriver>> open(LocalOptions options, EngineCatalogue engines,
                                                   Weights weights, const Clock& clock,
                                                   Random& random, const Log& log,
                                                   Metrics& metrics);
  ~LocalDriver() override;
  LocalDriver(const LocalDriver&) = delete;
  LocalDriver& operator=(const LocalDriver&) = delete;

  Result<std::vector<model::Node>> nodes() override;
  Result<ReplicaState> ensure(const ReplicaSpec& spec) override;
  Result<bool> stop(const model::Id& replica_id) override;
  Result<std::vector<ReplicaState>> list() override;
  Result<std::vector<ReplicaState>> replicas_of(const model::Id& deployment_id) override;
  Result<std::vector<std::string>> log_lines(const model::Id& replica_id,
                                             std::size_t count) override;
  void set_listener(std::function<void(const model::Id& deployment_id)> on_change) override;

 private:
  LocalDriver(LocalOptions options, EngineCatalogue engines, Weights weights, Inventory inventory,
              const Clock& clock, Random& random, const Log& log, Metrics& metrics);

  // Runs `work` on the loop and returns what it returns.
  template <typename Work>
  auto call(Work work);
  template <typename Work>
  auto post_and_wait(Work work);

  Result<Launch> prepare(const ReplicaSpec& spec) const;
  LocalReplica& find_or_add(const model::Id& id, const model::Id& deployment_id);
  // Its state if there is nothing to start.
  std::optional<ReplicaState> observe(const ReplicaSpec& spec);

  std::size_t recover();
  void recover_recorded(const model::Id& id, const std::vector<MarkedProcess>& marked);
  void recover_unrecorded(const std::vector<MarkedProcess>& marked);
  std::optional<Process> find_process(const ReplicaRecord& record,
                                      const std::vector<MarkedProcess>& marked) const;
  void keep_logs_small();

  // ReplicaOwner
  void on_changed(const LocalReplica& replica) override;
  void on_first_probe() override;
  void on_gone(const model::Id& replica_id) override;
  std::set<std::uint16_t> ports_in_use() const override;

  const LocalOptions options_;
  const EngineCatalogue engines_;
  const Weights weights_;
  const Inventory inventory_;

  net::EventLoop loop_;
  // Below: the loop's thread alone.
  std::unique_ptr<net::HttpClient> client_;
  ReplicaContext context_;
  std::map<model::Id, std::unique_ptr<LocalReplica>> replicas_;
  std::function<void(const model::Id&)> listener_;
  std::set<model::Id> changed_deployments_;  // the listener is told at the end of the turn
  std::size_t first_probes_due_ = 0;
  std::promise<void> first_probes_done_;

  Thread thread_;
};

}  // namespace staithe::runtime
