#include "service/node_service.h"

#include <algorithm>
#include <vector>

#include "base/encoding.h"
#include "model/capacity_claim.h"
#include "service/commit.h"
#include "service/errors.h"
#include "service/node_rules.h"
#include "service/operator_rules.h"

namespace staithe::service {
namespace {

namespace v1 = staithe::v1;
using model::NodeSource;
using store::Kind;

v1::NodeState state_of(const model::Node& node, const NodeUse& use) {
  if (!node.schedulable) return v1::NODE_STATE_LOST;
  if (!node.is_draining) return v1::NODE_STATE_READY;
  return use.is_empty() ? v1::NODE_STATE_DRAINED : v1::NODE_STATE_DRAINING;
}

void to_message(const model::Node& node, const NodeUse& use, const std::string& organization,
                v1::Node& message) {
  message.set_id(node.id);
  message.set_zone(node.zone);
  message.set_instance_type(node.instance_type);
  message.set_gpu_count(node.gpu_count);
  message.set_free_gpu_count(node.gpu_count - std::min(node.gpu_count, use.used_gpu_count));
  message.set_organization_id(node.owner_organization);
  message.set_source(static_cast<v1::NodeSource>(node.source));
  message.set_state(state_of(node, use));
  message.set_replica_count(static_cast<std::uint32_t>(use.replicas.size()));
  message.set_is_claimed(!use.claim_id.empty());
  if (use.claim_organization == organization) message.set_claim_id(use.claim_id);
  for (const model::Id& id : use.deployments_of(organization)) message.add_deployment_ids(id);
}

errors::NodeUsers users_of(const NodeUse& use, const std::string& organization) {
  errors::NodeUsers users;
  users.deployments = use.deployments_of(organization);
  users.others = static_cast<std::uint32_t>(std::count_if(
      use.replicas.begin(), use.replicas.end(),
      [&organization](const auto& each) { return each.second.organization != organization; }));
  if (use.claim_id.empty()) return users;
  if (use.claim_organization == organization) {
    users.claims.push_back(use.claim_id);
  } else {
    users.others += 1;
  }
  return users;
}

template <typename Response>
Result<Response> answer(Result<v1::Node> node) {
  TRY_ASSIGN(v1::Node drawn, std::move(node));
  Response response;
  *response.mutable_node() = std::move(drawn);
  return response;
}

}  // namespace

NodeService::NodeService(store::Store& store, const Clock& clock, model::CatalogueSlot& catalogue,
                         ServiceOptions options)
    : store_(store), clock_(clock), catalogue_(catalogue), options_(std::move(options)) {}

Result<void> NodeService::refresh_catalogue() {
  const std::lock_guard lock(refreshing_mutex_);
  TRY_ASSIGN(const std::vector<Stored> nodes, store::list_nodes(store_));
  std::vector<model::Node> joined;
  for (const Stored& node : nodes) {
    if (node.value.source == NodeSource::joined) joined.push_back(node.value);
  }
  catalogue_.set_joined(joined);
  return {};
}

bool NodeService::may_see(const Caller& caller, const model::Node& node) const {
  return node.owner_organization.empty() ||
         node.owner_organization == caller.principal.organization || is_operator(options_, caller);
}

Result<void> NodeService::check_may_change(const Caller& caller, const model::Node& node) const {
  if (is_operator(options_, caller)) return {};
  const bool may = node.owner_organization.empty()
                       ? options_.operator_organization.empty()
                       : node.owner_organization == caller.principal.organization;
  if (!may) return errors::operator_required();
  return {};
}

Result<NodeService::Stored> NodeService::find(const Caller& caller, const model::Id& id) {
  TRY_ASSIGN(auto found, store::get_node(store_, id));
  if (!found || !may_see(caller, found->value)) return errors::not_found(Kind::node, id);
  return *std::move(found);
}

Result<v1::Node> NodeService::draw(const Caller& caller, const model::Node& node) {
  TRY_ASSIGN(const NodeUse use, use_of_node(store_, node.id, node.gpu_count));
  v1::Node message;
  to_message(node, use, caller.principal.organization, message);
  return message;
}

void NodeService::list(const Caller& caller, const v1::ListNodesRequest& request,
                       Done<v1::ListNodesResponse> done) {
  done([&]() -> Result<v1::ListNodesResponse> {
    TRY_ASSIGN(std::vector<Stored> nodes, store::list_nodes(store_));
    TRY_ASSIGN(const NodeUses uses, uses_of_nodes(store_));
    std::sort(nodes.begin(), nodes.end(), [](const Stored& left, const Stored& right) {
      return left.value.id < right.value.id;
    });
    const NodeUse unused;
    v1::ListNodesResponse response;
    for (const Stored& stored : nodes) {
      const model::Node& node = stored.value;
      if (!may_see(caller, node)) continue;
      if (!request.zone().empty() && !equals_ignoring_case(request.zone(), node.zone)) continue;
      if (!request.instance_type().empty() &&
          !equals_ignoring_case(request.instance_type(), node.instance_type)) {
        continue;
      }
      const auto use = uses.find(node.id);
      to_message(node, use == uses.end() ? unused : use->second, caller.principal.organization,
                 *response.add_nodes());
    }
    return response;
  }());
}

void NodeService::get(const Caller& caller, const v1::GetNodeRequest& request,
                      Done<v1::GetNodeResponse> done) {
  done([&]() -> Result<v1::GetNodeResponse> {
    TRY_ASSIGN(const model::Id id, read_node_id(request.id()));
    TRY_ASSIGN(const Stored node, find(caller, id));
    return answer<v1::GetNodeResponse>(draw(caller, node.value));
  }());
}

void NodeService::join(const Caller& caller, const v1::JoinNodeRequest& request,
                       Done<v1::JoinNodeResponse> done) {
  done([&]() -> Result<v1::JoinNodeResponse> {
    TRY(validate(request, *catalogue_.get()));
    const model::Node node{.id = to_lower(request.id()),
                           .zone = model::fold_zone(request.zone()),
                           .instance_type = model::fold_instance(request.instance_type()),
                           .gpu_count = request.gpu_count(),
                           .owner_organization = request.organization_id(),
                           .source = NodeSource::joined};
    TRY(check_may_change(caller, node));
    auto written = store_.commit_and_wait({store::create_step(node, clock_.now())});
    if (!written) {
      if (written.error().reason != store::reason_id_taken) return std::move(written).error();
      return errors::id_taken(Kind::node, node.id);
    }
    TRY(refresh_catalogue());
    return answer<v1::JoinNodeResponse>(draw(caller, node));
  }());
}

Result<model::Node> NodeService::change(
    const Caller& caller, const std::string& id,
    const std::function<Result<store::Transaction>(Stored&)>& make_steps) {
  TRY_ASSIGN(const model::Id node_id, read_node_id(id));
  for (int attempt = 0; attempt < commit_attempts_max; ++attempt) {
    TRY_ASSIGN(Stored stored, find(caller, node_id));
    TRY(check_may_change(caller, stored.value));
    TRY_ASSIGN(store::Transaction steps, make_steps(stored));
    if (steps.empty()) return stored.value;
    const auto written = store_.commit_and_wait(std::move(steps));
    if (written) return stored.value;
    if (written.error().reason != store::reason_version_changed) return written.error();
  }
  return errors::concurrent_change();
}

Result<v1::Node> NodeService::set_draining(const Caller& caller, const std::string& id,
                                           bool is_draining) {
  TRY_ASSIGN(const model::Node node,
             change(caller, id, [is_draining](Stored& stored) -> Result<store::Transaction> {
               if (stored.value.is_draining == is_draining) return store::Transaction{};
               stored.value.is_draining = is_draining;
               return store::Transaction{store::update_step(stored.value, stored.version)};
             }));
  return draw(caller, node);
}

void NodeService::drain(const Caller& caller, const v1::DrainNodeRequest& request,
                        Done<v1::DrainNodeResponse> done) {
  done(answer<v1::DrainNodeResponse>(set_draining(caller, request.id(), true)));
}

void NodeService::resume(const Caller& caller, const v1::ResumeNodeRequest& request,
                         Done<v1::ResumeNodeResponse> done) {
  done(answer<v1::ResumeNodeResponse>(set_draining(caller, request.id(), false)));
}

void NodeService::remove(const Caller& caller, const v1::RemoveNodeRequest& request,
                         Done<v1::RemoveNodeResponse> done) {
  done([&]() -> Result<v1::RemoveNodeResponse> {
    v1::RemoveNodeResponse response;
    TRY_ASSIGN(const model::Node node,
               change(caller, request.id(), [&](Stored& stored) -> Result<store::Transaction> {
                 const model::Node& removed = stored.value;
                 if (removed.source != NodeSource::joined && removed.schedulable) {
                   return errors::node_not_joined(removed.id);
                 }
                 TRY_ASSIGN(const NodeUse use, use_of_node(store_, removed.id, removed.gpu_count));
                 const std::string& organization = caller.principal.organization;
                 if (!use.is_empty() && !request.force()) {
                   return errors::node_in_use(removed.id, users_of(use, organization));
                 }
                 response.clear_node();
                 to_message(removed, use, organization, *response.mutable_node());
                 return store::Transaction{store::Remove{Kind::node, removed.id, stored.version}};
               }));
    if (node.source == NodeSource::joined) TRY(refresh_catalogue());
    return response;
  }());
}

}  // namespace staithe::service
