#pragma once

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/executor.h"
#include "base/log.h"
#include "base/random.h"
#include "model/catalogue.h"
#include "reconcile/loop.h"
#include "runtime/fake/fake_driver.h"
#include "store/memory/memory_store.h"
#include "store/records.h"

// What the tests of this folder share: a store, a driver and a clock around one loop, the calls
// that the services would make, and a witness of every status that anybody could have seen.
namespace staithe::reconcile::testing {

// Burns after so many calls; from then on nothing gets through, as if the process had ended.
struct Fuse {
  std::optional<std::uint64_t> calls_left;
  bool is_burnt = false;
  std::uint64_t calls = 0;

  bool is_open() {
    if (is_burnt) return false;
    calls += 1;
    if (calls_left && *calls_left == 0) {
      is_burnt = true;
      return false;
    }
    if (calls_left) *calls_left -= 1;
    return true;
  }
  Error error() const {
    return {.code = Code::unavailable, .message = "gone", .reason = "STORE_UNAVAILABLE"};
  }
};

// What changes the world goes through the fuse: commits, starts and stops.
class FusedStore final : public store::Store {
 public:
  FusedStore(store::Store& inner, Fuse& fuse) : inner_(inner), fuse_(fuse) {}

  Result<std::optional<store::Record>> get(store::Kind kind, std::string_view id) override {
    if (fuse_.is_burnt) return fuse_.error();
    return inner_.get(kind, id);
  }
  Result<std::vector<store::Record>> list(store::Kind kind,
                                          std::string_view organization) override {
    if (fuse_.is_burnt) return fuse_.error();
    return inner_.list(kind, organization);
  }
  Result<std::optional<store::Record>> find(const store::UniqueKey& key) override {
    return inner_.find(key);
  }
  void commit(store::Transaction transaction, store::CommitDone done) override {
    if (!fuse_.is_open()) return done(fuse_.error());
    if (const auto hook = before_commit) hook(transaction);
    const store::Transaction copy = transaction;
    inner_.commit(std::move(transaction), std::move(done));
    if (const auto hook = after_commit) hook(copy);
  }
  Result<store::Changes> changes_since(std::uint64_t revision, std::size_t limit) override {
    if (fuse_.is_burnt) return fuse_.error();
    return inner_.changes_since(revision, limit);
  }
  std::unique_ptr<Subscription> subscribe(std::function<void()> wake) override {
    return inner_.subscribe(std::move(wake));
  }

  // What somebody else does just before and just after.
  std::function<void(const store::Transaction&)> before_commit;
  std::function<void(const store::Transaction&)> after_commit;

 private:
  store::Store& inner_;
  Fuse& fuse_;
};

class FusedDriver final : public runtime::Driver {
 public:
  FusedDriver(runtime::Driver& inner, Fuse& fuse) : inner_(inner), fuse_(fuse) {}

  Result<std::vector<model::Node>> nodes() override {
    if (fuse_.is_burnt) return fuse_.error();
    return inner_.nodes();
  }
  Result<runtime::ReplicaState> ensure(const runtime::ReplicaSpec& spec) override {
    if (!fuse_.is_open()) return fuse_.error();
    return inner_.ensure(spec);
  }
  Result<bool> stop(const model::Id& replica_id) override {
    if (!fuse_.is_open()) return fuse_.error();
    return inner_.stop(replica_id);
  }
  Result<std::vector<runtime::ReplicaState>> list() override {
    if (fuse_.is_burnt) return fuse_.error();
    return inner_.list();
  }
  Result<std::vector<runtime::ReplicaState>> replicas_of(const model::Id& deployment_id) override {
    if (fuse_.is_burnt) return fuse_.error();
    return inner_.replicas_of(deployment_id);
  }
  Result<std::vector<std::string>> log_lines(const model::Id& replica_id,
                                             std::size_t count) override {
    return inner_.log_lines(replica_id, count);
  }
  void set_listener(std::function<void(const model::Id&)> on_change) override {
    inner_.set_listener(std::move(on_change));
  }

 private:
  runtime::Driver& inner_;
  Fuse& fuse_;
};

// Sees every state that a caller of the API could have seen, and notes the steps that must not be.
class Witness {
 public:
  explicit Witness(store::Store& store)
      : store_(store), subscription_(store.subscribe([this] { look(); })) {}

  const std::vector<std::string>& faults() const { return faults_; }
  // The statuses of one resource in order, without repeats.
  const std::vector<model::Status>& seen(const model::Id& id) { return seen_[id]; }
  std::size_t write_count(const model::Id& id) const {
    const auto found = writes_.find(id);
    return found == writes_.end() ? 0 : found->second;
  }

 private:
  static bool is_legal(model::Status from, model::Status to) {
    using enum model::Status;
    switch (from) {
      case creating:
        return to != updating && to != unspecified;
      case updating:
        return to != creating && to != unspecified;
      case ready:
        return to == updating || to == error || to == deleting;
      case error:
        return to == updating || to == ready || to == deleting;
      case failed:
        return to == updating || to == deleting;
      case deleting:
      case unspecified:
        return false;
    }
    return false;
  }

  // On whichever thread has committed.
  void look() {
    const std::lock_guard lock(mutex_);
    auto changes = store_.changes_since(revision_, 1000);
    if (!changes || changes->lost) return;
    revision_ = changes->revision;
    for (const store::Change& change : changes->changes) {
      if (change.kind == store::Kind::claim) note(change, store::get_claim(store_, change.id));
      if (change.kind == store::Kind::gateway) note(change, store::get_gateway(store_, change.id));
      if (change.kind == store::Kind::deployment) {
        note(change, store::get_deployment(store_, change.id));
      }
    }
  }

  template <typename T>
  void note(const store::Change& change, Result<std::optional<store::Versioned<T>>> record) {
    std::vector<model::Status>& seen = seen_[change.id];
    if (!record || !record->has_value()) {
      if (!seen.empty() && seen.back() != model::Status::deleting) {
        faults_.push_back(change.id + " vanished while " + std::string(status_name(seen.back())));
      }
      seen.clear();
      last_update_.erase(change.id);
      return;
    }
    writes_[change.id] += 1;
    const model::StatusBase& status = (*record)->value.status;
    if (seen.empty()) {
      if (status.status != model::Status::creating) faults_.push_back(change.id + " begins wrong");
      seen.push_back(status.status);
    } else if (seen.back() != status.status) {
      if (!is_legal(seen.back(), status.status)) {
        faults_.push_back(change.id + ": " + std::string(status_name(seen.back())) + " to " +
                          std::string(status_name(status.status)));
      }
      if (status.updated_at <= last_update_[change.id]) {
        faults_.push_back(change.id + " changed without a later updated_at");
      }
      seen.push_back(status.status);
    }
    last_update_[change.id] = status.updated_at;
    for (const model::Condition& condition : status.conditions) {
      if (condition.message.empty() || condition.reason.empty()) {
        faults_.push_back(change.id + " has a condition without words");
      }
    }
  }

  store::Store& store_;
  std::mutex mutex_;  // held while looking; tests read when nobody commits any more
  std::uint64_t revision_ = 0;
  std::map<model::Id, std::vector<model::Status>> seen_;
  std::map<model::Id, Timestamp> last_update_;
  std::map<model::Id, std::size_t> writes_;
  std::vector<std::string> faults_;
  std::unique_ptr<store::Store::Subscription> subscription_;
};

inline model::Node node(model::Id id, std::uint32_t gpu_count = 4, std::string zone = "ZONE-A",
                        std::string type = "gb200-4x", std::string owner = {}) {
  return {.id = std::move(id),
          .zone = std::move(zone),
          .instance_type = std::move(type),
          .gpu_count = gpu_count,
          .owner_organization = std::move(owner)};
}

inline model::ClaimSpec claim_spec(const model::Id& id, std::uint32_t count,
                                   std::vector<std::string> zones = {"zone-a"},
                                   std::string type = "GB200-4x") {
  model::ClaimSpec spec;
  spec.id = id;
  spec.name = id;
  spec.organization_id = "cw0001";
  spec.resources.instance_id = std::move(type);
  spec.resources.instance_count = count;
  spec.resources.capacity_type = model::CapacityType::managed;
  spec.resources.zones = std::move(zones);
  return spec;
}

inline model::GatewaySpec gateway_spec(const model::Id& id, std::vector<std::string> zones = {}) {
  model::GatewaySpec spec;
  spec.id = id;
  spec.name = id;
  spec.organization_id = "cw0001";
  spec.zones = std::move(zones);
  return spec;
}

inline model::DeploymentSpec deployment_spec(const model::Id& id, std::uint32_t min = 1,
                                             std::uint32_t gpu_count = 1) {
  model::DeploymentSpec spec;
  spec.id = id;
  spec.name = id;
  spec.organization_id = "cw0001";
  spec.gateway_ids = {"g1"};
  spec.runtime.engine = "vllm";
  spec.runtime.version = "0.8.5";
  spec.resources.instance_type = "GB200-4X";
  spec.resources.gpu_count = gpu_count;
  spec.model = {.name = "org/model", .bucket = "models", .path = "p"};
  spec.autoscaling.min = min;
  spec.autoscaling.max = min;
  return spec;
}

class Rig {
 public:
  explicit Rig(std::uint64_t seed = 1)
      : random(seed),
        log(2, LogLevel::error),
        driver(clock),
        witness(store),
        fused_store(store, fuse),
        fused_driver(driver, fuse) {
    catalogue.engines["vllm"].default_concurrency = 16;
    start_loop();
  }

  // A new process over the same store and machines.
  void start_loop() {
    loop.reset();
    serving.clear();
    fuse = {};
    loop_started_at = clock.instant();
    loop = std::make_unique<Loop>(
        clock, random, log, fused_store, fused_driver, *calls, catalogue, options,
        Hooks{.on_serving =
                  [this](const model::Id& id, std::vector<ServingReplica> replicas) {
                    serving[id] = std::move(replicas);
                  },
              .is_drained = [this](const model::Id& id) { return !busy.contains(id); },
              .demand = [this](const model::Id& id) { return read_demand(id); },
              .active_deployments = [this] { return active_deployments(); }});
  }

  // So many requests of a deployment run from now on.
  void set_requests(const model::Id& id, std::uint64_t count) {
    DemandReading reading = *read_demand(id);
    if (count > reading.in_flight()) {
      reading.started += count - reading.in_flight();
    } else {
      reading.ended += reading.in_flight() - count;
    }
    demand[id] = reading;
  }
  std::optional<DemandReading> read_demand(const model::Id& id) {
    if (!is_data_plane_answering) return std::nullopt;
    DemandReading& reading = demand[id];
    const auto passed =
        std::chrono::duration_cast<std::chrono::microseconds>(clock.instant() - reading.at);
    reading.busy_us += reading.in_flight() * static_cast<std::uint64_t>(passed.count());
    reading.at = clock.instant();
    return reading;
  }
  std::vector<model::Id> active_deployments() const {
    std::vector<model::Id> ids;
    for (const auto& [id, reading] : demand) ids.push_back(id);
    return ids;
  }

  // Lets time pass, in jumps to whatever is next, until `is_done` or `most` is over.
  bool run_until(const std::function<bool()>& is_done, Duration most = std::chrono::minutes{5}) {
    const Instant end = clock.instant() + most;
    for (int i = 0; i < 20'000; ++i) {
      Instant next = loop->step();
      if (is_done()) return true;
      next = std::min(next, driver.next_due().value_or(Instant::max()));
      if (next > end) return false;
      if (next > clock.instant()) clock.advance(next - clock.instant());
      driver.settle();
    }
    CHECK_THAT(false, "the loop does not come to rest");
  }
  void run_for(Duration time) {
    const Instant end = clock.instant() + time;
    (void)run_until([] { return false; }, time);
    if (end > clock.instant()) clock.advance(end - clock.instant());
  }

  // ---- what the services do

  void create(model::ClaimSpec spec) { create_resource(model::CapacityClaim{std::move(spec), {}}); }
  void create(model::GatewaySpec spec) { create_resource(model::Gateway{std::move(spec), {}}); }
  void create(model::DeploymentSpec spec) {
    create_resource(model::Deployment{std::move(spec), {}});
  }
  void update_claim(const model::Id& id, const std::function<void(model::ClaimSpec&)>& change) {
    auto known = std::move(*store::get_claim(store, id)).value();
    change(known.value.spec);
    mark_updated(known.value.status);
    commit({store::update_step(known.value, known.version)});
  }
  void update_deployment(const model::Id& id,
                         const std::function<void(model::DeploymentSpec&)>& change) {
    auto known = std::move(*store::get_deployment(store, id)).value();
    change(known.value.spec);
    mark_updated(known.value.status);
    commit({store::update_step(known.value, known.version)});
  }
  void erase_claim(const model::Id& id) { mark_deleting(*store::get_claim(store, id)); }
  void erase_gateway(const model::Id& id) { mark_deleting(*store::get_gateway(store, id)); }
  void erase_deployment(const model::Id& id) { mark_deleting(*store::get_deployment(store, id)); }

  // ---- what a caller sees

  std::optional<model::CapacityClaim> claim(const model::Id& id) {
    return value_of(store::get_claim(store, id));
  }
  std::optional<model::Gateway> gateway(const model::Id& id) {
    return value_of(store::get_gateway(store, id));
  }
  std::optional<model::Deployment> deployment(const model::Id& id) {
    return value_of(store::get_deployment(store, id));
  }
  bool claim_is(const model::Id& id, model::Status status) {
    const auto found = claim(id);
    return found && found->status.status == status;
  }
  bool gateway_is(const model::Id& id, model::Status status) {
    const auto found = gateway(id);
    return found && found->status.status == status;
  }
  bool deployment_is(const model::Id& id, model::Status status) {
    const auto found = deployment(id);
    return found && found->status.status == status;
  }
  // "False/InsufficientCapacity"
  template <typename T>
  static std::string condition(const std::optional<T>& resource, std::string_view type,
                               std::string_view zone = {}) {
    if (!resource) return "gone";
    const model::Condition* found = model::find_condition(resource->status.conditions, type, zone);
    if (found == nullptr) return "none";
    const char* status = found->status == model::ConditionStatus::is_true    ? "True/"
                         : found->status == model::ConditionStatus::is_false ? "False/"
                                                                             : "Unknown/";
    return status + found->reason;
  }
  template <typename T>
  static std::string message(const std::optional<T>& resource, std::string_view type,
                             std::string_view zone = {}) {
    if (!resource) return "gone";
    const model::Condition* found = model::find_condition(resource->status.conditions, type, zone);
    return found == nullptr ? "none" : found->message;
  }
  std::vector<model::Replica> replicas(const model::Id& deployment_id) {
    std::vector<model::Replica> found;
    const auto listed = store::list_replicas(store);
    for (const auto& each : *listed) {
      if (each.value.deployment_id == deployment_id) found.push_back(each.value);
    }
    return found;
  }
  // The engines that run, by replica id.
  std::set<model::Id> engines() {
    std::set<model::Id> ids;
    for (const runtime::ReplicaSpec& spec : driver.running()) ids.insert(spec.id);
    return ids;
  }
  std::size_t routable_count(const model::Id& deployment_id) {
    const auto& replicas = serving[deployment_id];
    return static_cast<std::size_t>(std::count_if(
        replicas.begin(), replicas.end(), [](const auto& each) { return !each.is_draining; }));
  }

  FakeClock clock;
  SeededRandom random;
  Log log;
  store::MemoryStore store;
  runtime::FakeDriver driver;
  model::Catalogue catalogue;
  LoopOptions options;
  Witness witness;
  Fuse fuse;
  FusedStore fused_store;
  FusedDriver fused_driver;
  InlineExecutor executor;
  Executor* calls = &executor;  // where the driver's actions run from the next start on
  std::map<model::Id, std::vector<ServingReplica>> serving;
  std::map<model::Id, DemandReading> demand;
  bool is_data_plane_answering = true;
  std::set<model::Id> busy;  // replicas with requests running
  std::unique_ptr<Loop> loop;
  Instant loop_started_at;

 private:
  void commit(store::Transaction transaction) {
    const auto done = store.commit_and_wait(std::move(transaction));
    CHECK_THAT(done.has_value(), done ? "" : done.error().message);
  }
  template <typename T>
  void create_resource(T resource) {
    clock.advance(std::chrono::milliseconds{1});
    resource.status.created_at = clock.now();
    resource.status.updated_at = clock.now();
    resource.status.status = model::Status::creating;
    if constexpr (std::is_same_v<T, model::CapacityClaim>) {
      resource.status.pending_instances = resource.spec.resources.instance_count;
    }
    commit({store::create_step(resource)});
  }
  void mark_updated(model::StatusBase& status) {
    status.updated_at = model::next_updated_at(status.updated_at, clock.now());
    status.generation += 1;
    if (status.was_ready || status.status != model::Status::creating) {
      status.status = model::Status::updating;
    }
  }
  template <typename T>
  void mark_deleting(std::optional<store::Versioned<T>> known) {
    known->value.status.updated_at =
        model::next_updated_at(known->value.status.updated_at, clock.now());
    known->value.status.status = model::Status::deleting;
    commit({store::update_step(known->value, known->version)});
  }
  template <typename T>
  static std::optional<T> value_of(Result<std::optional<store::Versioned<T>>> record) {
    if (!record || !record->has_value()) return std::nullopt;
    return (*record)->value;
  }
};

}  // namespace staithe::reconcile::testing
