#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/driver.h"
#include "sim/stage.h"
#include "sim/witness.h"
#include "store/store.h"

namespace staithe::sim {

// Bugs that the control plane could have, planted where it meets its store and driver: what it
// sends or hears is altered as such a bug would alter it. They show that the simulation finds what
// it is there to find.
enum class Bug : std::uint8_t {
  none,
  oversell,        // a replica is recorded on slots that another one has, without their unique keys
  orphan,          // an engine without a record is never stopped
  ahead_of_truth,  // READY as soon as the replicas are placed
  lost_wakeup,     // a new deployment is taken note of and never looked at
  double_start,    // a start that is repeated makes a second process
};
std::optional<Bug> bug_named(std::string_view name);
std::string_view name_of(Bug bug);
// What has to catch it.
Invariant catcher_of(Bug bug);

class PlantedStore final : public store::Store {
 public:
  PlantedStore(store::Store& inner, Bug bug, Stage& stage, const Witness& witness)
      : inner_(inner), bug_(bug), stage_(stage), witness_(witness) {}

  Result<std::optional<store::Record>> get(store::Kind kind, std::string_view id) override;
  Result<std::vector<store::Record>> list(store::Kind kind, std::string_view organization) override;
  Result<std::optional<store::Record>> find(const store::UniqueKey& key) override;
  void commit(store::Transaction transaction, store::CommitDone done) override;
  Result<store::Changes> changes_since(std::uint64_t revision, std::size_t limit) override;
  std::unique_ptr<Subscription> subscribe(std::function<void()> wake) override;

 private:
  void oversell(store::Create& step);
  void run_ahead(store::Update& step);

  store::Store& inner_;
  const Bug bug_;
  Stage& stage_;
  const Witness& witness_;
};

class PlantedDriver final : public runtime::Driver {
 public:
  PlantedDriver(runtime::Driver& inner, Bug bug, Stage& stage, const Witness& witness)
      : inner_(inner), bug_(bug), stage_(stage), witness_(witness) {}

  Result<std::vector<model::Node>> nodes() override;
  Result<runtime::ReplicaState> ensure(const runtime::ReplicaSpec& spec) override;
  Result<bool> stop(const model::Id& replica_id) override;
  Result<std::vector<runtime::ReplicaState>> list() override;
  Result<std::vector<runtime::ReplicaState>> replicas_of(const model::Id& deployment_id) override;
  Result<std::vector<std::string>> log_lines(const model::Id& replica_id,
                                             std::size_t count) override;
  void set_listener(std::function<void(const model::Id&)> on_change) override;

 private:
  runtime::Driver& inner_;
  const Bug bug_;
  Stage& stage_;
  const Witness& witness_;
};

}  // namespace staithe::sim
