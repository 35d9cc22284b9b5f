#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "runtime/driver.h"
#include "runtime/local/back_off.h"

namespace staithe::runtime {

// How the replicas of a deployment behave. The default is an engine without fault.
struct FakeScript {
  Duration start_delay{};  // from the start to readiness, by the clock
  bool never_ready = false;
  // Every start fails like this.
  struct Failure {
    std::string reason;
    std::string message;
    bool is_terminal = false;
  };
  std::optional<Failure> failure;
  std::uint32_t crash_count = 0;  // so many starts end in a crash instead of readiness
  Duration stop_delay{};          // from stop() to being gone, by the clock
};

// A driver without processes, for tests of those who use one. It passes the same contract tests as
// the real ones. Time is its clock's: what has become due happens at the next call of any kind, or
// at settle(), on the calling thread, the listener included. Any thread.
class FakeDriver final : public Driver {
 public:
  struct Call {
    enum class Kind : std::uint8_t { ensure, stop };
    Kind kind;
    model::Id replica_id;
    bool operator==(const Call&) const = default;
  };

  explicit FakeDriver(const Clock& clock, BackOffOptions back_off = {})
      : clock_(clock), back_off_(back_off) {}

  Result<std::vector<model::Node>> nodes() override;
  Result<ReplicaState> ensure(const ReplicaSpec& spec) override;
  Result<bool> stop(const model::Id& replica_id) override;
  Result<std::vector<ReplicaState>> list() override;
  Result<std::vector<ReplicaState>> replicas_of(const model::Id& deployment_id) override;
  Result<std::vector<std::string>> log_lines(const model::Id& replica_id,
                                             std::size_t count) override;
  void set_listener(std::function<void(const model::Id& deployment_id)> on_change) override;

  // ---- the world, as a test arranges it

  void add_node(model::Node node);
  // Its replicas are `exited`.
  void remove_node(const model::Id& node_id);
  // No listing names it; what runs there runs on. add_node() brings it back.
  void hide_node(const model::Id& node_id);
  // Of starts from now on: of one deployment, or of all that have no script of their own.
  void script(FakeScript script);
  void script(const model::Id& deployment_id, FakeScript script);
  // Where every replica from now on says it listens, such as a server of the test. By default each
  // has a port of its own that nobody listens on.
  void serve_at(std::string host, std::uint16_t port);

  void crash(const model::Id& replica_id, std::string message);
  // Its process runs and answers no more; or again.
  void set_healthy(const model::Id& replica_id, bool is_healthy);
  // A running process that no store knows.
  void add_orphan(const model::Id& replica_id, const model::Id& deployment_id);
  // Every call fails with this, or works again.
  void refuse_calls(std::optional<Error> error);

  // Lets happen what is due.
  void settle();
  // The next time at which something becomes due, for tests that jump there.
  std::optional<Instant> next_due() const;

  // ---- what a test asks

  std::vector<Call> calls() const;
  // Of every process that there is: starting, ready or stopping.
  std::vector<ReplicaSpec> running() const;

 private:
  struct Replica {
    ReplicaSpec spec;
    FakeScript script;
    std::optional<std::uint32_t> crashes_left;  // set by its first start
    ReplicaState state;
    BackOff back_off;
    Instant due = Instant::max();  // of the next change that time brings
    bool is_told_of_back_off = true;
  };

  // All below expect the lock.
  Result<void> check_refused() const;
  void start(Replica& replica);
  void end(Replica& replica, std::string message);
  void set_phase(Replica& replica, ReplicaPhase phase, std::string_view reason,
                 std::string message);
  void set_due(Replica& replica, Instant due);
  void forget(std::map<model::Id, Replica>::iterator which);
  void settle_locked();
  // Unlocks, then tells the listener what changed.
  void tell(std::unique_lock<std::mutex> lock);

  const Clock& clock_;
  const BackOffOptions back_off_;
  // Held while the listener is called, so that calls do not overlap and a replaced listener is done
  // for; recursive, because the listener may call the driver. Always taken before mutex_.
  std::recursive_mutex telling_mutex_;
  mutable std::mutex mutex_;  // guards all below; never held while the listener is called
  std::vector<model::Node> nodes_;
  FakeScript default_script_;
  std::map<model::Id, FakeScript> scripts_;
  std::map<model::Id, Replica> replicas_;
  std::map<model::Id, std::set<model::Id>> of_deployment_;
  std::set<std::pair<Instant, model::Id>> due_;
  std::vector<Call> calls_;
  std::optional<Error> refusal_;
  std::optional<std::pair<std::string, std::uint16_t>> endpoint_;
  std::uint16_t next_port_ = 40'000;
  std::int64_t next_pid_ = 1'000;
  std::set<model::Id> changed_deployments_;
  std::function<void(const model::Id&)> listener_;
};

}  // namespace staithe::runtime
