#include "service/insight_service.h"

#include <utility>
#include <vector>

#include "service/convert.h"
#include "service/owned.h"
#include "service/request_checks.h"
#include "service/violations.h"
#include "store/records.h"

namespace staithe::service {
namespace {

namespace v1 = staithe::v1;

void set_texts(const std::vector<std::string>& from, Texts& to) {
  to.Assign(from.begin(), from.end());
}

pb::DeploymentAutoscaling::CapacityClass class_of(model::CapacityClass capacity_class) {
  return static_cast<pb::DeploymentAutoscaling::CapacityClass>(capacity_class);
}

void set_shortages(const std::vector<model::ZoneShortage>& shortages,
                   google::protobuf::RepeatedPtrField<v1::ZoneShortage>& messages) {
  for (const model::ZoneShortage& shortage : shortages) {
    v1::ZoneShortage& message = *messages.Add();
    message.set_zone(shortage.zone);
    message.set_needed(shortage.needed);
    message.set_free(shortage.free);
    message.set_missing(shortage.missing);
    message.set_reason(shortage.reason);
  }
}

void to_message(const model::ExplainedReplica& replica,
                v1::DeploymentExplanation::Replica& message) {
  message.set_id(replica.id);
  message.set_phase(static_cast<v1::ReplicaPhase>(replica.phase));
  set_time(replica.since, *message.mutable_since());
  message.set_is_current(replica.is_current);
  message.set_is_draining(replica.is_draining);
  set_texts(replica.nodes, *message.mutable_node_ids());
  message.set_zone(replica.zone);
  message.set_capacity_class(class_of(replica.capacity_class));
  message.set_claim_id(replica.claim_id);
  message.set_restarts(replica.restarts);
  message.set_reason(replica.reason);
}

void to_message(const model::Explanation& explanation, v1::DeploymentExplanation& message) {
  message.set_deployment_id(explanation.deployment_id);
  message.set_summary(explanation.summary);
  message.set_status(static_cast<pb::Status>(explanation.status));
  message.set_wanted(explanation.wanted);
  message.set_min(explanation.min);
  message.set_max(explanation.max);
  message.set_wanted_reason(explanation.wanted_reason);
  if (explanation.demand) message.set_demand(*explanation.demand);
  message.set_target(explanation.target);
  for (const model::ExplainedReplica& replica : explanation.replicas) {
    to_message(replica, *message.add_replicas());
  }
  message.set_unplaced(explanation.unplaced);
  message.set_unplaced_reason(explanation.unplaced_reason);
  set_shortages(explanation.shortages, *message.mutable_shortages());
  for (const model::ServedBefore& other : explanation.served_before) {
    v1::DeploymentExplanation::ServedBefore& drawn = *message.add_served_before();
    drawn.set_deployment_id(other.deployment_id);
    drawn.set_name(other.name);
    drawn.set_priority(other.priority);
    drawn.set_waiting_replicas(other.waiting_replicas);
  }
  message.set_roll_out(static_cast<v1::RollOut>(explanation.roll_out));
  message.set_old_replicas(explanation.old_replicas);
  message.set_roll_out_reason(explanation.roll_out_reason);
  if (explanation.next_look) set_time(*explanation.next_look, *message.mutable_next_look());
}

void to_message(const model::PlannedReplica& replica, v1::Plan::Replica& message) {
  message.set_change(static_cast<v1::PlannedChange>(replica.change));
  message.set_id(replica.id);
  message.set_replaced_id(replica.replaced_id);
  set_texts(replica.nodes, *message.mutable_node_ids());
  message.set_zone(replica.zone);
  message.set_capacity_class(class_of(replica.capacity_class));
  message.set_claim_id(replica.claim_id);
  message.set_reason(replica.reason);
}

void to_message(const model::PlanPreview& plan, v1::Plan& message) {
  message.set_summary(plan.summary);
  message.set_is_without_effect(plan.is_without_effect);
  message.set_restarts_replicas(plan.restarts_replicas);
  for (const model::PlannedReplica& replica : plan.replicas) {
    to_message(replica, *message.add_replicas());
  }
  for (const model::PlannedZone& zone : plan.zones) {
    v1::Plan::Zone& drawn = *message.add_zones();
    drawn.set_zone(zone.zone);
    set_texts(zone.kept, *drawn.mutable_kept());
    set_texts(zone.taken, *drawn.mutable_taken());
    set_texts(zone.released, *drawn.mutable_released());
  }
  message.set_pending(plan.pending);
  message.set_pending_reason(plan.pending_reason);
  set_shortages(plan.shortages, *message.mutable_shortages());
}

// The resource as the change would leave it.
template <typename Service, typename Request>
auto preview(Service& service, const Caller& caller, const Request& request)
    -> decltype(service.preview(caller, request.create())) {
  if (request.has_create()) return service.preview(caller, request.create());
  if (request.has_update()) return service.preview(caller, request.update());
  Violations violations;
  violations.add_sentence("create", "give the change to plan: create or update");
  return std::move(violations).result().error();
}

template <typename Response>
Done<model::PlanPreview> answer_with_plan(Done<Response> done) {
  return [done = std::move(done)](Result<model::PlanPreview> plan) {
    if (!plan) return done(std::move(plan).error());
    Response response;
    to_message(*plan, *response.mutable_plan());
    done(std::move(response));
  };
}

}  // namespace

void InsightService::explain(const Caller& caller, const v1::ExplainDeploymentRequest& request,
                             Done<v1::ExplainDeploymentResponse> done) {
  auto id = read_id(request.id());
  if (!id) return done(std::move(id).error());
  auto found = owned(store::get_deployment(store_, *id), caller, store::Kind::deployment, *id);
  if (!found) return done(std::move(found).error());
  control_plane_.explain(*id, [done = std::move(done)](Result<model::Explanation> explanation) {
    if (!explanation) return done(std::move(explanation).error());
    v1::ExplainDeploymentResponse response;
    to_message(*explanation, *response.mutable_explanation());
    done(std::move(response));
  });
}

void InsightService::plan_deployment(const Caller& caller, const v1::PlanDeploymentRequest& request,
                                     Done<v1::PlanDeploymentResponse> done) {
  auto wanted = preview(deployments_, caller, request);
  if (!wanted) return done(std::move(wanted).error());
  control_plane_.plan(*std::move(wanted), answer_with_plan(std::move(done)));
}

void InsightService::plan_claim(const Caller& caller, const v1::PlanCapacityClaimRequest& request,
                                Done<v1::PlanCapacityClaimResponse> done) {
  auto wanted = preview(claims_, caller, request);
  if (!wanted) return done(std::move(wanted).error());
  control_plane_.plan(*std::move(wanted), answer_with_plan(std::move(done)));
}

}  // namespace staithe::service
