#include "reconcile/deployment_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <string_view>
#include <utility>

namespace staithe::reconcile {
namespace {

using model::Condition;
using model::ConditionStatus;
using runtime::ReplicaPhase;
using runtime::ReplicaState;

Condition make(std::string_view type, ConditionStatus status, std::string_view reason,
               std::string message) {
  Condition condition;
  condition.type = type;
  condition.status = status;
  condition.reason = reason;
  condition.message = std::move(message);
  return condition;
}

bool is_about_model(std::string_view reason) {
  return reason == runtime::reason_bucket_not_found || reason == runtime::reason_path_not_found ||
         reason == runtime::reason_access_denied || reason == runtime::reason_invalid_model;
}

// A single crash is not a problem yet: the driver starts the engine again.
Problem problem_of(const ReplicaState& state) {
  // It served and stopped answering.
  if (state.phase == ReplicaPhase::starting && !state.reason.empty()) return Problem::recoverable;
  if (state.phase != ReplicaPhase::failed && state.phase != ReplicaPhase::exited) {
    return Problem::none;
  }
  if (state.is_terminal) return Problem::terminal;
  if (state.phase == ReplicaPhase::failed || state.reason == runtime::reason_crash_loop ||
      state.reason == runtime::reason_health_check_failed) {
    return Problem::recoverable;
  }
  return Problem::none;
}

std::string plural(std::size_t count, std::string_view noun) {
  return fmt::format("{} {}{}", count, noun, count == 1 ? "" : "s");
}

// What the replicas amount to.
struct Tally {
  std::size_t ready = 0;          // of any spec, as long as they take work
  std::size_t ready_current = 0;  // of the present spec
  std::size_t coming_back = 0;    // of any spec, being found again after our restart
  bool is_old_left = false;
  bool is_engine_started = false;         // so the weights were found
  const ReplicaState* trouble = nullptr;  // the worst that was seen of the present spec
  const ReplicaState* ended = nullptr;    // ended, about to be started again
  Problem problem = Problem::none;
  std::map<std::string, std::size_t> placed_in;  // of the present spec, by zone
  std::size_t placed = 0;
};

Tally count(const DeploymentView& view) {
  Tally tally;
  for (const SeenReplica& replica : view.replicas) {
    const bool is_current = replica.record.spec_hash == view.spec_hash;
    tally.is_old_left |= !is_current;
    if (replica.record.draining) continue;
    if (replica.is_ready()) tally.ready += 1;
    if (view.is_adopting && replica.is_starting() && replica.state->reason.empty()) {
      tally.coming_back += 1;
    }
    if (!is_current) continue;
    tally.placed += 1;
    if (!replica.zone.empty()) tally.placed_in[replica.zone] += 1;
    if (replica.is_ready()) tally.ready_current += 1;
    if (!replica.state) continue;
    const ReplicaState& state = *replica.state;
    tally.is_engine_started |= state.phase != ReplicaPhase::failed;
    if (state.phase == ReplicaPhase::exited) tally.ended = &state;
    if (const Problem problem = problem_of(state); problem > tally.problem) {
      tally.problem = problem;
      tally.trouble = &state;
    }
  }
  return tally;
}

class Reporter {
 public:
  Reporter(const DeploymentView& view, const DeploymentPlan& plan)
      : view_(view),
        plan_(plan),
        spec_(view.deployment.spec),
        tally_(count(view)),
        min_(spec_.disabled ? 0 : spec_.autoscaling.min),
        wanted_(spec_.disabled ? 0 : std::max(view.wanted, spec_.autoscaling.min)) {}

  DeploymentReport report() const {
    DeploymentReport report;
    report.facts.is_settled = spec_.disabled ? view_.replicas.empty()
                                             : tally_.ready_current >= min_ && !tally_.is_old_left;
    report.facts.is_minimum_met = tally_.ready + tally_.coming_back >= min_;
    // What is left of the replicas that it had says nothing about one that wants none.
    report.facts.problem = spec_.disabled ? Problem::none : tally_.problem;

    const model::Status status = view_.deployment.status.status;
    if (status == model::Status::deleting || status == model::Status::failed) {
      // What was found out before stays: nothing is being looked into any more.
      report.conditions = aspects_of(view_.deployment.status.conditions);
      model::remove_conditions(report.conditions, [](const Condition& condition) {
        return condition.type == model::condition::routable;
      });
      report.conditions.push_back(routable());
      const Condition* ready =
          model::find_condition(view_.deployment.status.conditions, model::condition::ready);
      report.detail = status == model::Status::deleting ? "The deployment is being deleted."
                      : ready != nullptr                ? ready->message
                                                        : detail(report.conditions);
      return report;
    }
    report.conditions = {model_available(), replicas_ready(), routable()};
    for (Condition& condition : scheduled()) report.conditions.push_back(std::move(condition));
    report.detail = detail(report.conditions);
    return report;
  }

 private:
  Condition model_available() const {
    using model::condition::model_available;
    if (tally_.trouble != nullptr && is_about_model(tally_.trouble->reason)) {
      return make(model_available, ConditionStatus::is_false, tally_.trouble->reason,
                  message_of(*tally_.trouble));
    }
    if (!spec_.disabled && tally_.is_engine_started) {
      return make(model_available, ConditionStatus::is_true, "Found",
                  fmt::format("The model was found at {} in bucket {}.", spec_.model.path,
                              spec_.model.bucket));
    }
    return make(model_available, ConditionStatus::unknown, "NotChecked",
                "The model is looked for when a replica starts.");
  }

  std::vector<Condition> scheduled() const {
    using model::condition::scheduled;
    std::vector<Condition> conditions;
    if (plan_.unplaced == 0 || !plan_.shortage) {
      conditions.push_back(
          make(scheduled, ConditionStatus::is_true, "ReplicasPlaced",
               fmt::format("{} of {} are placed.", tally_.placed, plural(wanted_, "replica"))));
    } else {
      conditions.push_back(
          make(scheduled, ConditionStatus::is_false, plan_.shortage->reason,
               fmt::format("{} {} of {} needed, placed {}, missing {}.", plan_.shortage->message,
                           plural(wanted_, "replica"), plural(spec_.resources.gpu_count, "GPU"),
                           wanted_ - plan_.unplaced, plan_.unplaced)));
      const std::uint32_t needed = plan_.unplaced * spec_.resources.gpu_count;
      for (const Shortage::Zone& zone : plan_.shortage->zones) {
        conditions.push_back(
            make(scheduled, ConditionStatus::is_false, plan_.shortage->reason,
                 fmt::format("needed {}, free {}, missing {} GPUs", needed, zone.free_gpu_count,
                             needed - std::min(needed, zone.free_gpu_count))));
        conditions.back().zone = zone.zone;
      }
    }
    for (const auto& [zone, placed] : tally_.placed_in) {
      if (model::find_condition(conditions, scheduled, zone) != nullptr) continue;
      conditions.push_back(make(scheduled, ConditionStatus::is_true, "ReplicasPlaced",
                                fmt::format("{} placed in this zone.", plural(placed, "replica"))));
      conditions.back().zone = zone;
    }
    return conditions;
  }

  Condition replicas_ready() const {
    using model::condition::replicas_ready;
    const std::string numbers =
        fmt::format("{} of {} ready{}.", tally_.ready, plural(wanted_, "replica"),
                    view_.is_at_max ? ", the maximum; demand asks for more" : "");
    if (spec_.disabled) {
      return make(replicas_ready, ConditionStatus::is_true, "MinimumAvailable",
                  "No replicas are wanted while the deployment is disabled.");
    }
    if (tally_.ready >= min_) {
      return make(replicas_ready, ConditionStatus::is_true, "MinimumAvailable", numbers);
    }
    if (tally_.trouble != nullptr && !is_about_model(tally_.trouble->reason)) {
      const std::string_view reason = tally_.trouble->reason.empty()
                                          ? std::string_view("HealthCheckFailed")
                                          : std::string_view(tally_.trouble->reason);
      return make(replicas_ready, ConditionStatus::is_false, reason,
                  fmt::format("{} {}", numbers, message_of(*tally_.trouble)));
    }
    // An engine that crashed again and again has proven nothing by being started once more.
    const Condition* last =
        model::find_condition(view_.deployment.status.conditions, replicas_ready);
    if (view_.deployment.status.status == model::Status::error && last != nullptr &&
        last->reason == runtime::reason_crash_loop) {
      return *last;
    }
    if (tally_.ended != nullptr) {
      return make(replicas_ready, ConditionStatus::is_false, "Starting",
                  fmt::format("{} An engine ended and is started again. {}", numbers,
                              message_of(*tally_.ended)));
    }
    return make(replicas_ready, ConditionStatus::is_false, "Starting", numbers);
  }

  Condition routable() const {
    using model::condition::routable;
    using enum ConditionStatus;
    if (view_.deployment.status.status == model::Status::deleting) {
      return make(routable, is_false, "NoReadyReplica", "The deployment is being deleted.");
    }
    if (spec_.disabled) return make(routable, is_false, "Disabled", "The deployment is disabled.");
    if (tally_.ready == 0) {
      return make(routable, is_false, "NoReadyReplica", "No replica is ready.");
    }
    if (spec_.traffic.weight == 0 && view_.has_weighted_peer) {
      return make(routable, is_false, "ZeroWeight",
                  "Its weight is zero and another deployment of this model has one.");
    }
    return make(routable, is_true, "Serving", "Requests are served.");
  }

  static std::string message_of(const ReplicaState& state) {
    if (!state.message.empty()) return state.message;
    return state.reason.empty() ? "The engine did not start." : state.reason;
  }

  std::string detail(const std::vector<Condition>& conditions) const {
    if (tally_.trouble != nullptr) return message_of(*tally_.trouble);
    if (tally_.is_old_left) {
      return tally_.placed >= wanted_
                 ? "Replicas of the previous spec are being replaced, new ones first."
                 : "Replicas of the previous spec are being replaced one by one: there is no room "
                   "for all new ones beside them.";
    }
    for (const std::string_view type :
         {model::condition::scheduled, model::condition::model_available,
          model::condition::replicas_ready}) {
      const Condition* condition = model::find_condition(conditions, type);
      if (condition != nullptr && condition->status == ConditionStatus::is_false) {
        return condition->message;
      }
    }
    return "Replicas are being stopped.";
  }

  const DeploymentView& view_;
  const DeploymentPlan& plan_;
  const model::DeploymentSpec& spec_;
  const Tally tally_;
  const std::size_t min_;
  const std::size_t wanted_;
};

}  // namespace

DeploymentReport report_deployment(const DeploymentView& view, const DeploymentPlan& plan) {
  return Reporter(view, plan).report();
}

std::vector<model::Id> hopeless_replicas(const DeploymentView& view) {
  std::vector<model::Id> ids;
  for (const SeenReplica& replica : view.replicas) {
    if (replica.record.draining || replica.record.spec_hash != view.spec_hash) continue;
    if (replica.state && problem_of(*replica.state) == Problem::terminal) {
      ids.push_back(replica.record.id);
    }
  }
  return ids;
}

}  // namespace staithe::reconcile
