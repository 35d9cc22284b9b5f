#include "reconcile/claim_queue.h"

#include <algorithm>
#include <utility>

#include "model/capacity_claim.h"

namespace staithe::reconcile {

void ClaimQueue::set_free(const model::Node& node) {
  const PoolKey pool{node.owner_organization, model::fold_instance(node.instance_type)};
  const std::string zone = model::fold_zone(node.zone);
  if (const auto known = places_.find(node.id); known != places_.end()) {
    if (known->second.pool == pool && known->second.zone == zone) return;
    set_taken(node.id, {});
  }
  places_[node.id] = {.pool = pool, .zone = zone, .promised_to = {}};
  Zone& there = pools_[pool][zone];
  there.free.insert(node.id);
  if (!there.waiting.empty()) is_stale_ = true;
}

void ClaimQueue::set_taken(const model::Id& node_id, const model::Id& holder) {
  const auto place = places_.find(node_id);
  if (place == places_.end()) return;
  const model::Id promised_to = place->second.promised_to;
  Zone& zone = pools_.at(place->second.pool).at(place->second.zone);
  if (promised_to.empty()) {
    zone.free.erase(node_id);
  } else {
    zone.promised_count -= 1;
    std::vector<model::Id>& share = shares_.at(promised_to);
    std::erase(share, node_id);
    if (share.empty()) shares_.erase(promised_to);
    if (promised_to == holder) {
      // As it was meant to be: everybody else's share stays what it is.
      waiting_.at(holder).missing -= 1;
    } else {
      touched_.insert(promised_to);
      is_stale_ = true;
    }
  }
  erase_if_empty(place->second.pool, place->second.zone);
  places_.erase(place);
}

void ClaimQueue::set_waiting(const WaitingClaim& claim) {
  if (claim.missing == 0 || claim.zones.empty()) return remove_waiting(claim.age.id);
  if (const auto known = waiting_.find(claim.age.id); known != waiting_.end()) {
    if (known->second == claim) return;
    remove_waiting(claim.age.id);
  }
  waiting_[claim.age.id] = claim;
  Zones& zones = pools_[{claim.owner, claim.instance_type}];
  bool is_youngest = true;
  for (const std::string& zone : claim.zones) {
    std::set<ClaimAge>& waiting = zones[zone].waiting;
    is_youngest = is_youngest && (waiting.empty() || *waiting.rbegin() < claim.age);
    waiting.insert(claim.age);
  }
  // Whoever comes last takes nothing away from those before.
  if (is_youngest && !is_stale_) {
    take_share(zones, claim);
  } else {
    is_stale_ = true;
  }
}

void ClaimQueue::remove_waiting(const model::Id& claim_id) {
  const auto known = waiting_.find(claim_id);
  if (known == waiting_.end()) return;
  if (shares_.contains(claim_id)) {
    forget_share(claim_id);
    is_stale_ = true;
  }
  const WaitingClaim claim = std::move(known->second);
  waiting_.erase(known);
  const PoolKey pool{claim.owner, claim.instance_type};
  for (const std::string& zone : claim.zones) {
    pools_.at(pool).at(zone).waiting.erase(claim.age);
    erase_if_empty(pool, zone);
  }
}

const std::vector<model::Id>& ClaimQueue::share_of(const model::Id& claim_id) {
  static const std::vector<model::Id> nothing;
  if (is_stale_) share_out();
  const auto share = shares_.find(claim_id);
  return share == shares_.end() ? nothing : share->second;
}

std::set<model::Id> ClaimQueue::take_touched() {
  if (is_stale_) share_out();
  return std::exchange(touched_, {});
}

void ClaimQueue::share_out() {
  is_stale_ = false;
  const std::map<model::Id, std::vector<model::Id>> before = shares_;
  for (const auto& [claim_id, share] : before) forget_share(claim_id);
  for (auto& [key, zones] : pools_) share_out(zones);
  const auto note_changes = [this](const auto& from, const auto& to) {
    for (const auto& [claim_id, share] : from) {
      const auto other = to.find(claim_id);
      if (other == to.end() || other->second != share) touched_.insert(claim_id);
    }
  };
  note_changes(before, shares_);
  note_changes(shares_, before);
}

// The zones' waiting claims merged by age, for as long as there are nodes left in their zone.
void ClaimQueue::share_out(Zones& zones) {
  struct Head {
    Zone* zone;
    std::set<ClaimAge>::const_iterator next;
  };
  std::vector<Head> heads;
  for (auto& [name, zone] : zones) {
    if (!zone.free.empty() && !zone.waiting.empty()) heads.push_back({&zone, zone.waiting.begin()});
  }
  while (true) {
    std::erase_if(heads, [](const Head& head) {
      return head.zone->free.empty() || head.next == head.zone->waiting.end();
    });
    const auto oldest = std::min_element(
        heads.begin(), heads.end(),
        [](const Head& left, const Head& right) { return *left.next < *right.next; });
    if (oldest == heads.end()) return;
    const model::Id& claim_id = oldest->next->id;
    // One that had its turn through another zone took all it needs.
    if (!shares_.contains(claim_id)) take_share(zones, waiting_.at(claim_id));
    ++oldest->next;
  }
}

void ClaimQueue::take_share(Zones& zones, const WaitingClaim& claim) {
  std::vector<model::Id> share;
  for (const std::string& name : claim.zones) {
    std::set<model::Id>& free = zones.at(name).free;
    while (share.size() < claim.missing && !free.empty()) {
      places_.at(*free.begin()).promised_to = claim.age.id;
      zones.at(name).promised_count += 1;
      share.push_back(std::move(free.extract(free.begin()).value()));
    }
  }
  if (share.empty()) return;
  touched_.insert(claim.age.id);
  shares_[claim.age.id] = std::move(share);
}

void ClaimQueue::forget_share(const model::Id& claim_id) {
  const auto share = shares_.extract(claim_id);
  for (const model::Id& node_id : share.mapped()) {
    Place& place = places_.at(node_id);
    place.promised_to.clear();
    Zone& zone = pools_.at(place.pool).at(place.zone);
    zone.promised_count -= 1;
    zone.free.insert(node_id);
  }
}

void ClaimQueue::erase_if_empty(const PoolKey& pool, const std::string& zone) {
  const auto zones = pools_.find(pool);
  const auto there = zones->second.find(zone);
  const Zone& found = there->second;
  if (!found.free.empty() || !found.waiting.empty() || found.promised_count > 0) return;
  zones->second.erase(there);
  if (zones->second.empty()) pools_.erase(zones);
}

}  // namespace staithe::reconcile
