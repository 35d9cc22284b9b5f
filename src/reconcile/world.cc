#include "reconcile/world.h"

#include <algorithm>
#include <iterator>
#include <limits>
#include <memory>

#include "reconcile/claim_plan.h"

namespace staithe::reconcile {
namespace {

using store::Kind;

constexpr std::size_t changes_per_read_max = 1000;

template <typename T>
const store::Versioned<T>* find_in(const World::Table<T>& table, const model::Id& id) {
  const auto found = table.find(id);
  return found == table.end() ? nullptr : &found->second;
}

template <typename Map, typename Id>
const std::set<model::Id>& set_at(const Map& index, const Id& id) {
  static const std::set<model::Id> nothing;
  const auto found = index.find(id);
  return found == index.end() ? nothing : found->second;
}

template <typename Map, typename Id>
void erase_at(Map& index, const Id& id, const model::Id& member) {
  const auto found = index.find(id);
  if (found == index.end()) return;
  found->second.erase(member);
  if (found->second.empty()) index.erase(found);
}

std::set<model::Id> usable_nodes(const model::CapacityClaim& claim) {
  if (claim.status.status == model::Status::deleting) return {};
  const auto& nodes = claim.status.nodes;
  const std::size_t count = std::min<std::size_t>(claim.status.allocated_instances, nodes.size());
  return {nodes.begin(), nodes.begin() + static_cast<std::ptrdiff_t>(count)};
}

// Whether a deployment competes for capacity at all.
bool is_competing(const model::Deployment& deployment) {
  return deployment.status.status != model::Status::deleting &&
         deployment.status.status != model::Status::failed && !deployment.spec.disabled;
}

}  // namespace

template <>
World::Table<model::CapacityClaim>& World::table() {
  return claims_;
}
template <>
World::Table<model::Gateway>& World::table() {
  return gateways_;
}
template <>
World::Table<model::Deployment>& World::table() {
  return deployments_;
}
template <>
World::Table<model::Node>& World::table() {
  return nodes_;
}
template <>
World::Table<model::Replica>& World::table() {
  return replicas_;
}

Result<void> World::refresh() {
  if (!is_loaded_) return relist();
  while (true) {
    TRY_ASSIGN(const store::Changes changes, store_.changes_since(revision_, changes_per_read_max));
    if (changes.lost) return relist();
    for (const store::Change& change : changes.changes) TRY(take(change));
    revision_ = changes.revision;
    if (changes.changes.size() < changes_per_read_max) return {};
  }
}

Result<void> World::relist() {
  // The revision is read first: what changes meanwhile is seen twice rather than never.
  TRY_ASSIGN(const store::Changes changes,
             store_.changes_since(std::numeric_limits<std::int64_t>::max(), 1));

  std::set<Key> gone;
  const auto note_all = [&gone](Kind kind, const auto& table) {
    for (const auto& [id, versioned] : table) gone.insert(Key{kind, id});
  };
  note_all(Kind::claim, claims_);
  note_all(Kind::gateway, gateways_);
  note_all(Kind::deployment, deployments_);
  note_all(Kind::node, nodes_);
  note_all(Kind::replica, replicas_);
  gone.insert(unreadable_.begin(), unreadable_.end());
  TRY(store_.each([this, &gone](const store::Record& record) {
    if (record.kind == Kind::token) return;
    if (!gone.empty()) gone.erase(Key{record.kind, record.id});
    put(record.kind, record.id, &record);
  }));
  for (const Key& key : gone) put(key.kind, key.id, nullptr);
  revision_ = changes.revision;
  is_loaded_ = true;
  is_capacity_changed_ = true;
  return {};
}

Result<void> World::take(const store::Change& change) {
  if (change.kind == Kind::token || change.kind == Kind::limit) return {};
  if (change.removed) {
    put(change.kind, change.id, nullptr);
    return {};
  }
  TRY_ASSIGN(const std::optional<store::Record> record, store_.get(change.kind, change.id));
  put(change.kind, change.id, record ? &*record : nullptr);
  return {};
}

void World::put(Kind kind, const model::Id& id, const store::Record* record) {
  const Key key{kind, id};
  switch (kind) {
    case Kind::claim:
      return put_in(claims_, key, record, store::decode_claim);
    case Kind::gateway:
      return put_in(gateways_, key, record, store::decode_gateway);
    case Kind::deployment:
      return put_in(deployments_, key, record, store::decode_deployment);
    case Kind::node:
      return put_in(nodes_, key, record, store::decode_node);
    case Kind::replica:
      return put_in(replicas_, key, record, store::decode_replica);
    case Kind::token:
    case Kind::limit:
      return;
  }
}

template <typename T, typename Decode>
void World::put_in(Table<T>& table, const Key& key, const store::Record* record, Decode decode) {
  const auto found = table.find(key.id);
  if (record != nullptr && found != table.end() && found->second.revision == record->revision) {
    return;
  }
  unreadable_.erase(key);
  std::optional<store::Versioned<T>> after;
  if (record != nullptr) {
    Result<store::Versioned<T>> decoded = decode(*record);
    if (decoded) {
      after = std::move(decoded).value();
    } else {
      log_.error("a record cannot be read", {{"error", decoded.error().message}});
      unreadable_.insert(key);
    }
  }
  take_over(key.id, std::move(after));
}

template <typename T>
void World::take_over(const model::Id& id, std::optional<store::Versioned<T>> after) {
  Table<T>& table = this->table<T>();
  std::optional<store::Versioned<T>> before;
  if (const auto found = table.find(id); found != table.end()) {
    before = std::move(found->second);
    table.erase(found);
  }
  if (!before && !after) return;
  const T* after_value = nullptr;
  if (after) after_value = &table.emplace(id, std::move(*after)).first->second.value;
  turn(before ? &before->value : nullptr, after_value);
}

template void World::take_over(const model::Id&, std::optional<store::Versioned<model::Node>>);
template void World::take_over(const model::Id&,
                               std::optional<store::Versioned<model::CapacityClaim>>);
template void World::take_over(const model::Id&, std::optional<store::Versioned<model::Gateway>>);
template void World::take_over(const model::Id&,
                               std::optional<store::Versioned<model::Deployment>>);
template void World::take_over(const model::Id&, std::optional<store::Versioned<model::Replica>>);

void World::turn(const model::CapacityClaim* before, const model::CapacityClaim* after) {
  const model::Id& id = after != nullptr ? after->spec.id : before->spec.id;
  touched_.insert(Key{Kind::claim, id});
  news_.claims.insert(id);
  if (before != nullptr) {
    touch_claim_users(*before);
    for (const model::Id& node : before->status.nodes) {
      if (holder_of(node) == before->spec.id) holder_of_.erase(node);
    }
  }
  if (after != nullptr) {
    for (const model::Id& node : after->status.nodes) holder_of_[node] = after->spec.id;
    touch_claim_users(*after);
  }
  if (before != nullptr) {
    for (const model::Id& node : before->status.nodes) {
      if (holder_of(node).empty()) place_node(node, nullptr);
    }
  }
  if (after != nullptr) {
    const std::set<model::Id> usable = usable_nodes(*after);
    for (const model::Id& node : after->status.nodes) {
      place_node(node, usable.contains(node) ? after : nullptr);
    }
  }
  if (before == nullptr) return;
  if (after == nullptr || before->status.nodes != after->status.nodes ||
      before->status.allocated_instances != after->status.allocated_instances ||
      before->spec.resources != after->spec.resources ||
      before->status.status != after->status.status) {
    is_capacity_changed_ = true;
  }
}

void World::touch_claim_users(const model::CapacityClaim& claim) {
  for (const model::Id& node : claim.status.nodes) {
    for (const model::Id& replica : replicas_on(node)) {
      touch_deployment(replicas_.at(replica).value.deployment_id);
    }
  }
}

void World::touch_deployment(const model::Id& id) {
  touched_.insert(Key{Kind::deployment, id});
  news_.deployments.insert(id);
}

void World::place_node(const model::Id& id) {
  const auto* holder = find_claim(holder_of(id));
  place_node(id, holder != nullptr && may_use(holder->value, id) ? &holder->value : nullptr);
}

void World::place_node(const model::Id& id, const model::CapacityClaim* user) {
  news_.nodes.insert(id);
  const auto* node = find_node(id);
  if (node == nullptr) {
    news_.is_fleet_changed |= fleet_.remove(id);
    return;
  }
  const bool is_for_all = holder_of(id).empty() && node->value.owner_organization.empty();
  FleetNode entry{.id = id,
                  .zone = model::fold_zone(node->value.zone),
                  .instance_type = model::fold_instance(node->value.instance_type),
                  .gpu_count = node->value.gpu_count,
                  .organization = {},
                  .claim_id = {},
                  .is_open = is_available(node->value) && (user != nullptr || is_for_all)};
  if (user != nullptr) {
    entry.organization = user->spec.organization_id;
    entry.claim_id = user->spec.id;
  }
  news_.is_fleet_changed |= fleet_.set(entry);
}

void World::turn(const model::Gateway* before, const model::Gateway* after) {
  const model::Gateway& gateway = after != nullptr ? *after : *before;
  touched_.insert(Key{Kind::gateway, gateway.spec.id});
  // Its zones say where deployments may run.
  if (before != nullptr && after != nullptr && before->spec.zones == after->spec.zones) return;
  for (const model::Id& id : deployments_at(gateway.spec.id)) news_.deployments.insert(id);
  if (before != nullptr && after != nullptr) is_capacity_changed_ = true;
}

void World::turn(const model::Deployment* before, const model::Deployment* after) {
  const bool is_noteworthy = before == nullptr || after == nullptr || before->spec != after->spec ||
                             is_competing(*before) != is_competing(*after);
  touch_deployment(after != nullptr ? after->spec.id : before->spec.id);
  if (before != nullptr) {
    if (is_noteworthy) touch_relatives(*before);
    for (const model::Id& gateway : before->spec.gateway_ids) {
      erase_at(deployments_at_, gateway, before->spec.id);
    }
    erase_at(deployments_of_model_,
             std::pair(before->spec.organization_id, before->spec.model.name), before->spec.id);
    if (const auto found = weights_.find(weights_of(before->spec)); found != weights_.end()) {
      found->second.deployments.erase(before->spec.id);
      if (found->second.deployments.empty() && found->second.replicas_in.empty()) {
        weights_.erase(found);
      }
    }
  }
  if (after != nullptr) {
    for (const model::Id& gateway : after->spec.gateway_ids) {
      deployments_at_[gateway].insert(after->spec.id);
    }
    deployments_of_model_[{after->spec.organization_id, after->spec.model.name}].insert(
        after->spec.id);
    weights_[weights_of(after->spec)].deployments.insert(after->spec.id);
    if (is_noteworthy) touch_relatives(*after);
  }
  if (is_noteworthy) {
    for (const model::Id& id : replicas_of(after != nullptr ? after->spec.id : before->spec.id)) {
      place_weights(id);
    }
  }
  // What one no longer wants another may have.
  if (before != nullptr && is_noteworthy) is_capacity_changed_ = true;
}

void World::touch_relatives(const model::Deployment& deployment) {
  // A gateway that is going waits for the deployments that name it.
  for (const model::Id& gateway : deployment.spec.gateway_ids) {
    const auto* found = find_gateway(gateway);
    if (found != nullptr && found->value.status.status == model::Status::deleting) {
      touched_.insert(Key{Kind::gateway, gateway});
    }
  }
  // A weight of zero means something else beside a peer with a weight.
  for (const model::Id& peer :
       deployments_of_model(deployment.spec.organization_id, deployment.spec.model.name)) {
    const auto* found = find_deployment(peer);
    if (found != nullptr && found->value.spec.traffic.weight == 0) {
      touched_.insert(Key{Kind::deployment, peer});
    }
  }
}

void World::turn(const model::Node* before, const model::Node* after) {
  node_changes_ += 1;
  const model::Id& id = after != nullptr ? after->id : before->id;
  if (const model::Id holder = holder_of(id); !holder.empty()) {
    touched_.insert(Key{Kind::claim, holder});
  }
  for (const model::Id& replica : replicas_on(id)) {
    touch_deployment(replicas_.at(replica).value.deployment_id);
    place_weights(replica);
  }
  place_node(id);
  is_capacity_changed_ = true;
}

void World::set_doubted(std::set<model::Id> node_ids) {
  if (node_ids == doubted_) return;
  std::set<model::Id> changed;
  std::set_symmetric_difference(doubted_.begin(), doubted_.end(), node_ids.begin(), node_ids.end(),
                                std::inserter(changed, changed.end()));
  doubted_ = std::move(node_ids);
  for (const model::Id& id : changed) place_node(id);
  is_capacity_changed_ = true;
}

void World::turn(const model::Replica* before, const model::Replica* after) {
  const bool is_moved = before == nullptr || after == nullptr || before->parts != after->parts ||
                        before->draining != after->draining;
  const auto hold_of = [](const model::Replica& replica) {
    return replica.draining ? Hold::leaving : Hold::firm;
  };
  if (before != nullptr) {
    if (is_moved) fleet_.give_back(before->parts, hold_of(*before));
    news_.is_fleet_changed |= is_moved;
    erase_at(replicas_of_, before->deployment_id, before->id);
    touch_deployment(before->deployment_id);
    for (const model::ReplicaPart& part : before->parts) {
      erase_at(replicas_on_, part.node_id, before->id);
      news_.nodes.insert(part.node_id);
      if (const model::Id holder = holder_of(part.node_id); !holder.empty()) {
        touched_.insert(Key{Kind::claim, holder});
      }
    }
  }
  if (after != nullptr) {
    if (is_moved) fleet_.take(after->parts, hold_of(*after));
    if (before == nullptr) news_.created_replicas.insert(after->id);
    replicas_of_[after->deployment_id].insert(after->id);
    for (const model::ReplicaPart& part : after->parts) {
      replicas_on_[part.node_id].insert(after->id);
      news_.nodes.insert(part.node_id);
    }
    touch_deployment(after->deployment_id);
  } else {
    is_capacity_changed_ = true;
  }
  place_weights(after != nullptr ? after->id : before->id);
}

World::WeightsKey World::weights_of(const model::DeploymentSpec& spec) {
  return {spec.organization_id, spec.model.bucket, spec.model.path};
}

void World::place_weights(const model::Id& replica_id) {
  std::optional<WeightsPlace> now;
  if (const auto* replica = find_replica(replica_id)) {
    const auto* deployment = find_deployment(replica->value.deployment_id);
    const auto* node = find_node(replica->value.parts.front().node_id);
    if (deployment != nullptr && node != nullptr) {
      now = {weights_of(deployment->value.spec), deployment->value.spec.id,
             model::fold_zone(node->value.zone)};
    }
  }
  const auto known = weights_of_.find(replica_id);
  if (known != weights_of_.end()) {
    if (now == known->second) return;
    move_weights(known->second, false);
    weights_of_.erase(known);
  }
  if (now) {
    move_weights(*now, true);
    weights_of_.emplace(replica_id, *std::move(now));
  }
}

void World::move_weights(const WeightsPlace& place, bool is_there) {
  Weights& weights = weights_[place.weights];
  auto& holders = weights.replicas_in[place.zone];
  const std::size_t before = holders.size();
  if (is_there) {
    holders[place.deployment_id] += 1;
  } else if (--holders[place.deployment_id] == 0) {
    holders.erase(place.deployment_id);
  }
  const std::size_t after = holders.size();
  // Beside one holder only the others are drawn to the zone, beside two all are.
  if (before != after && std::min(before, after) < 2) {
    news_.deployments.insert(weights.deployments.begin(), weights.deployments.end());
  }
  if (!holders.empty()) return;
  weights.replicas_in.erase(place.zone);
  if (weights.replicas_in.empty() && weights.deployments.empty()) weights_.erase(place.weights);
}

std::set<std::string> World::zones_with_weights(const model::DeploymentSpec& spec) const {
  std::set<std::string> zones;
  const auto found = weights_.find(weights_of(spec));
  if (found == weights_.end()) return zones;
  for (const auto& [zone, holders] : found->second.replicas_in) {
    if (holders.size() > holders.count(spec.id)) zones.insert(zone);
  }
  return zones;
}

const store::Versioned<model::CapacityClaim>* World::find_claim(const model::Id& id) const {
  return find_in(claims_, id);
}
const store::Versioned<model::Gateway>* World::find_gateway(const model::Id& id) const {
  return find_in(gateways_, id);
}
const store::Versioned<model::Deployment>* World::find_deployment(const model::Id& id) const {
  return find_in(deployments_, id);
}
const store::Versioned<model::Node>* World::find_node(const model::Id& id) const {
  return find_in(nodes_, id);
}
const store::Versioned<model::Replica>* World::find_replica(const model::Id& id) const {
  return find_in(replicas_, id);
}

const std::set<model::Id>& World::replicas_of(const model::Id& deployment_id) const {
  return set_at(replicas_of_, deployment_id);
}
const std::set<model::Id>& World::replicas_on(const model::Id& node_id) const {
  return set_at(replicas_on_, node_id);
}
const std::set<model::Id>& World::deployments_at(const model::Id& gateway_id) const {
  return set_at(deployments_at_, gateway_id);
}
const std::set<model::Id>& World::deployments_of_model(const model::Id& organization,
                                                       const model::Id& model_name) const {
  return set_at(deployments_of_model_, std::pair(organization, model_name));
}

model::Id World::holder_of(const model::Id& node_id) const {
  const auto found = holder_of_.find(node_id);
  return found == holder_of_.end() ? model::Id{} : found->second;
}

bool World::is_given_up(const model::Id& node_id) const {
  const auto* node = find_node(node_id);
  return node == nullptr ? !is_unreadable(Kind::node, node_id) : node->value.is_draining;
}

std::vector<Key> World::keys() const {
  std::vector<Key> keys;
  for (const auto& [id, claim] : claims_) keys.push_back({Kind::claim, id});
  for (const auto& [id, gateway] : gateways_) keys.push_back({Kind::gateway, id});
  for (const auto& [id, deployment] : deployments_) keys.push_back({Kind::deployment, id});
  // Replicas without their deployment still need someone to look after them.
  for (const auto& [id, replicas] : replicas_of_) {
    if (!deployments_.contains(id)) keys.push_back({Kind::deployment, id});
  }
  return keys;
}

}  // namespace staithe::reconcile
