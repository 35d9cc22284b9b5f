#include "reconcile/deployment_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <string_view>
#include <tuple>
#include <utility>

#include "base/check.h"
#include "model/capacity_claim.h"

namespace staithe::reconcile {
namespace {

using runtime::ReplicaPhase;
using Replicas = std::vector<const SeenReplica*>;

// FNV-1a with 64 bits (draft-eastlake-fnv), over parts that carry their length.
class Hash {
 public:
  void add(std::string_view part) {
    add_bytes(fmt::format("{}:", part.size()));
    add_bytes(part);
  }
  void add(std::uint32_t number) { add(fmt::format("{}", number)); }
  std::uint64_t value() const { return value_; }

 private:
  void add_bytes(std::string_view bytes) {
    for (const char byte : bytes) {
      value_ ^= static_cast<unsigned char>(byte);
      value_ *= 0x100000001b3;
    }
  }

  std::uint64_t value_ = 0xcbf29ce484222325;
};

bool shares_node(const std::vector<model::ReplicaPart>& left,
                 const std::vector<model::ReplicaPart>& right) {
  return std::any_of(left.begin(), left.end(), [&right](const auto& one) {
    return std::any_of(right.begin(), right.end(),
                       [&one](const auto& other) { return one.node_id == other.node_id; });
  });
}

bool is_down(const SeenReplica& replica) {
  return !replica.state || replica.state->phase == ReplicaPhase::failed ||
         replica.state->phase == ReplicaPhase::exited;
}

bool is_terminal(const SeenReplica& replica) {
  return replica.state && replica.state->is_terminal && is_down(replica);
}

bool wants_none(const model::Deployment& deployment) {
  return deployment.spec.disabled || deployment.status.status == model::Status::deleting;
}

// The least that is promised, whatever was asked for.
std::uint32_t wanted_of(const DeploymentView& view) {
  return std::max(view.wanted, view.deployment.spec.autoscaling.min);
}

// The replicas that are not on their way out already, by what is to become of them.
struct Groups {
  Replicas current;   // of the present spec, where they belong
  Replicas old;       // of an earlier spec
  Replicas homeless;  // on a node they must leave
  bool is_any_draining = false;
};

Groups sort_replicas(const DeploymentView& view) {
  Groups groups;
  for (const SeenReplica& replica : view.replicas) {
    if (replica.record.draining) {
      groups.is_any_draining = true;
    } else if (replica.must_leave) {
      groups.homeless.push_back(&replica);
    } else if (replica.record.spec_hash != view.spec_hash) {
      groups.old.push_back(&replica);
    } else {
      groups.current.push_back(&replica);
    }
  }
  return groups;
}

// One pass of the planner, with the decisions made so far.
class Planner {
 public:
  explicit Planner(const DeploymentView& view)
      : view_(view), groups_(sort_replicas(view)), wanted_(wanted_of(view)) {}

  DeploymentPlan plan() {
    if (wants_none(view_.deployment)) {
      drain_all(groups_.current);
      drain_all(groups_.old);
      drain_all(groups_.homeless);
      return std::move(plan_);
    }
    if (view_.deployment.status.status == model::Status::failed) {
      drain_all_if(groups_.current, is_terminal);
      drain_all_if(groups_.old, [this](const auto& replica) { return !is_serving(replica); });
      drain_all(groups_.homeless);
      start_what_stands();
      return std::move(plan_);
    }
    drain_evicted();
    drain_surplus();
    create_missing();
    start_what_stands();
    drain_useless();
    drain_replaced();
    drain_homeless();
    make_room();
    return std::move(plan_);
  }

 private:
  // May have requests.
  bool is_serving(const SeenReplica& replica) const {
    return replica.is_ready() || (view_.is_adopting && replica.is_starting());
  }
  // Only what is certain counts when something that serves is given up for it.
  std::size_t count_ready() const {
    return static_cast<std::size_t>(
        std::count_if(groups_.current.begin(), groups_.current.end(),
                      [](const SeenReplica* each) { return each->is_ready(); }));
  }

  void drain(Replicas& from, Replicas::iterator which) {
    plan_.drain.push_back((*which)->record.id);
    from.erase(which);
  }
  void drain_all(Replicas& from) {
    while (!from.empty()) drain(from, from.begin());
  }
  template <typename Predicate>
  void drain_all_if(Replicas& from, Predicate predicate) {
    for (auto at = from.begin(); at != from.end();) {
      if (predicate(**at)) {
        plan_.drain.push_back((*at)->record.id);
        at = from.erase(at);
      } else {
        ++at;
      }
    }
  }

  // More than wanted: those that do not serve go first, then the newest.
  void drain_surplus() {
    while (groups_.current.size() > wanted_) {
      const auto worst = std::max_element(
          groups_.current.begin(), groups_.current.end(), [this](const auto* a, const auto* b) {
            return std::tuple(!is_serving(*a), a->record.created_at,
                              std::cref(a->record.id).get()) <
                   std::tuple(!is_serving(*b), b->record.created_at, std::cref(b->record.id).get());
          });
      drain(groups_.current, worst);
    }
  }

  // What is evicted is not asked for again in the same breath.
  void drain_evicted() {
    for (Replicas* group : {&groups_.current, &groups_.old, &groups_.homeless}) {
      for (auto at = group->begin(); at != group->end();) {
        const bool is_spare =
            groups_.current.size() + groups_.old.size() + groups_.homeless.size() >
            view_.deployment.spec.autoscaling.min;
        if (is_spare && view_.evicted.contains((*at)->record.id)) {
          plan_.drain.push_back((*at)->record.id);
          at = group->erase(at);
          evicted_ += 1;
        } else {
          ++at;
        }
      }
    }
  }

  void create_missing() {
    const std::size_t present = groups_.current.size() + evicted_;
    if (present >= wanted_) return;
    const auto missing = static_cast<std::uint32_t>(wanted_ - present);
    std::set<model::Id> taken_ids;
    for (const SeenReplica& replica : view_.replicas) taken_ids.insert(replica.record.id);
    std::uint32_t ordinal = 0;
    for (std::uint32_t i = 0; i < missing; ++i) {
      if (i >= view_.offer.placements.size()) {
        plan_.unplaced = missing - i;
        plan_.shortage = view_.offer.shortage;
        return;
      }
      const Placement& placement = view_.offer.placements[i];
      model::Id id = replica_id(view_.deployment.spec.id, ordinal, view_.spec_hash);
      while (taken_ids.contains(id)) {
        id = replica_id(view_.deployment.spec.id, ++ordinal, view_.spec_hash);
      }
      taken_ids.insert(id);
      plan_.create.push_back({.id = std::move(id),
                              .deployment_id = view_.deployment.spec.id,
                              .organization_id = view_.deployment.spec.organization_id,
                              .parts = placement.parts,
                              .claim_id = placement.claim_id,
                              .spec_hash = view_.spec_hash});
    }
  }

  void start_what_stands() {
    // What served once and is in ERROR gets another try even where none seems to help: somebody
    // may have put the weights back. A first start or a roll-out turns FAILED instead.
    const bool is_error = view_.deployment.status.status == model::Status::error;
    for (const SeenReplica* replica : groups_.current) {
      if (!is_down(*replica) || (is_terminal(*replica) && !is_error)) continue;
      plan_.start.push_back(replica->record.id);
    }
    for (const model::Replica& replica : plan_.create) plan_.start.push_back(replica.id);
  }

  // Whoever is to go and serves nobody may go at once. How to start an old spec again is not even
  // known any more.
  void drain_useless() {
    const auto is_useless = [this](const SeenReplica& replica) { return !is_serving(replica); };
    drain_all_if(groups_.old, is_useless);
    drain_all_if(groups_.homeless, is_useless);
  }

  // As many as the ready ones of the present spec make up for.
  void drain_replaced() {
    const std::size_t serving = count_ready() + groups_.old.size() + groups_.homeless.size();
    for (std::size_t i = wanted_; i < serving; ++i) {
      Replicas& from = groups_.homeless.empty() ? groups_.old : groups_.homeless;
      if (from.empty()) return;
      drain(from, from.begin());
    }
  }

  // They wait for a replacement that is coming up, and for nothing else.
  void drain_homeless() {
    const auto coming = static_cast<std::size_t>(std::count_if(
        groups_.current.begin(), groups_.current.end(),
        [](const auto* replica) { return !replica->state || replica->is_starting(); }));
    while (groups_.homeless.size() > coming + plan_.create.size()) {
      drain(groups_.homeless, groups_.homeless.begin());
    }
  }

  // No room for a new one beside the old ones: give up one of those, if that helps, and no second
  // one before its successor serves.
  void make_room() {
    if (plan_.unplaced == 0 || groups_.old.empty()) return;
    if (groups_.is_any_draining || !plan_.drain.empty() || !plan_.create.empty()) return;
    if (count_ready() < groups_.current.size()) return;
    const std::optional<Placement>& placement = view_.offer.without_old;
    if (!placement) return;
    const auto victim =
        std::find_if(groups_.old.begin(), groups_.old.end(), [&placement](const SeenReplica* each) {
          return shares_node(each->record.parts, placement->parts);
        });
    if (victim != groups_.old.end()) drain(groups_.old, victim);
  }

  const DeploymentView& view_;
  Groups groups_;
  const std::size_t wanted_;
  std::size_t evicted_ = 0;
  DeploymentPlan plan_;
};

}  // namespace

DeploymentPlan plan_deployment(const DeploymentView& view) {
  return Planner(view).plan();
}

std::uint32_t count_missing(const DeploymentView& view) {
  if (wants_none(view.deployment) || view.deployment.status.status == model::Status::failed) {
    return 0;
  }
  const std::size_t current_count = sort_replicas(view).current.size();
  const std::size_t wanted = wanted_of(view);
  return static_cast<std::uint32_t>(wanted - std::min(wanted, current_count));
}

std::uint64_t hash_of(const model::DeploymentSpec& spec) {
  Hash hash;
  hash.add(spec.runtime.engine);
  hash.add(spec.runtime.version);
  for (const auto* pairs : {&spec.runtime.engine_config, &spec.runtime.engine_env}) {
    hash.add(static_cast<std::uint32_t>(pairs->size()));
    for (const auto& [key, value] : *pairs) {
      hash.add(key);
      hash.add(value);
    }
  }
  hash.add(model::fold_instance(spec.resources.instance_type));
  hash.add(spec.resources.gpu_count);
  hash.add(spec.model.name);
  hash.add(spec.model.bucket);
  hash.add(spec.model.path);
  return hash.value();
}

model::Id replica_id(const model::Id& deployment_id, std::uint32_t ordinal,
                     std::uint64_t spec_hash) {
  return fmt::format("{}-{}-{:08x}", deployment_id, ordinal, spec_hash >> 32);
}

}  // namespace staithe::reconcile
