#include "reconcile/fleet.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <tuple>

#include "base/check.h"

namespace staithe::reconcile {
namespace {

using model::CapacityClass;
using model::ReplicaPart;

// More than any machine has. What a record says beyond it holds nothing.
constexpr std::uint32_t slot_max = 1023;

bool may_use_zone(const PlacementRequest& request, std::string_view zone) {
  return !request.zones || request.zones->contains(std::string(zone));
}

std::pair<model::Id, std::uint32_t> first_slot(const std::vector<ReplicaPart>& parts) {
  return {parts.front().node_id, parts.front().gpu_slots.front()};
}

}  // namespace

struct Fleet::Entry {
  // Holders of one slot; more than one only while changes are on their way.
  struct Slot {
    std::int32_t firm = 0;
    std::int32_t leaving = 0;
  };

  FleetNode node;
  bool is_known = false;
  std::vector<Slot> slots;
  std::size_t holder_count = 0;  // slots with a holder, those beyond gpu_count included

  // While it is shelved: where, and what was free then.
  Shelf* shelf = nullptr;
  std::uint32_t free_now = 0;
  std::uint32_t free_soon = 0;

  bool is_free(std::uint32_t slot, Horizon horizon) const {
    if (slot >= slots.size()) return true;
    return slots[slot].firm <= 0 && (horizon == Horizon::soon || slots[slot].leaving <= 0);
  }
  std::uint32_t count_free(Horizon horizon) const {
    std::uint32_t count = 0;
    for (std::uint32_t slot = 0; slot < node.gpu_count; ++slot) count += is_free(slot, horizon);
    return count;
  }
  // Ascending; slots that are free now before those that will be.
  std::vector<std::uint32_t> pick(std::uint32_t count, Horizon horizon) const {
    std::vector<std::uint32_t> picked;
    picked.reserve(count);
    for (std::uint32_t slot = 0; slot < node.gpu_count && picked.size() < count; ++slot) {
      if (is_free(slot, Horizon::now)) picked.push_back(slot);
    }
    if (horizon == Horizon::soon) {
      for (std::uint32_t slot = 0; slot < node.gpu_count && picked.size() < count; ++slot) {
        if (!is_free(slot, Horizon::now) && is_free(slot, Horizon::soon)) picked.push_back(slot);
      }
      std::sort(picked.begin(), picked.end());
    }
    return picked;
  }
};

bool Fleet::ById::operator()(const Entry* left, const Entry* right) const {
  return left->node.id < right->node.id;
}
bool Fleet::LargestFirst::operator()(const Entry* left, const Entry* right) const {
  if (left->node.gpu_count != right->node.gpu_count) {
    return left->node.gpu_count > right->node.gpu_count;
  }
  return left->node.id < right->node.id;
}

// The machines of one pool in one zone, by what is free on them.
struct Fleet::Shelf {
  using Level = std::set<Entry*, ById>;

  std::size_t node_count = 0;
  std::uint32_t room = 0;        // free GPUs
  std::vector<Level> free_now;   // by the number of free GPUs
  std::vector<Level> free_soon;  // of machines that somebody is leaving
  std::set<Entry*, LargestFirst> whole_now;
  std::set<Entry*, LargestFirst> whole_soon;  // whole only once somebody has left

  void add(Entry& entry) {
    node_count += 1;
    room += entry.free_now;
    level(free_now, entry.free_now).insert(&entry);
    if (entry.free_soon > entry.free_now) level(free_soon, entry.free_soon).insert(&entry);
    if (entry.node.gpu_count == 0) return;
    if (entry.free_now == entry.node.gpu_count) {
      whole_now.insert(&entry);
    } else if (entry.free_soon == entry.node.gpu_count) {
      whole_soon.insert(&entry);
    }
  }
  void remove(Entry& entry) {
    node_count -= 1;
    room -= entry.free_now;
    free_now[entry.free_now].erase(&entry);
    if (entry.free_soon > entry.free_now) free_soon[entry.free_soon].erase(&entry);
    if (entry.node.gpu_count == 0) return;
    if (entry.free_now == entry.node.gpu_count) {
      whole_now.erase(&entry);
    } else if (entry.free_soon == entry.node.gpu_count) {
      whole_soon.erase(&entry);
    }
  }

  // The fullest machine that fits, the first of equals.
  Entry* find(std::uint32_t gpu_count, Horizon horizon) const {
    const std::vector<Level>& levels = horizon == Horizon::now ? free_now : free_soon;
    for (std::size_t free = gpu_count; free < levels.size(); ++free) {
      if (!levels[free].empty()) return *levels[free].begin();
    }
    return nullptr;
  }
  // Whole machines that have so many GPUs together; empty if there are too few.
  std::vector<Entry*> find_whole(std::uint32_t gpu_count, Horizon horizon) const {
    std::vector<Entry*> found;
    std::uint32_t found_gpu_count = 0;
    const auto gather = [&](const auto& whole) {
      for (Entry* entry : whole) {
        if (found_gpu_count >= gpu_count) return;
        found.push_back(entry);
        found_gpu_count += entry->node.gpu_count;
      }
    };
    gather(whole_now);
    if (horizon == Horizon::soon) gather(whole_soon);
    if (found_gpu_count < gpu_count) found.clear();
    return found;
  }
  std::uint32_t most_free() const {
    for (std::size_t free = free_now.size(); free > 0; --free) {
      if (!free_now[free - 1].empty()) return static_cast<std::uint32_t>(free - 1);
    }
    return 0;
  }

 private:
  static Level& level(std::vector<Level>& levels, std::uint32_t free) {
    if (levels.size() <= free) levels.resize(free + 1);
    return levels[free];
  }
};

Fleet::Fleet() = default;
Fleet::~Fleet() = default;

Fleet::Entry& Fleet::entry_at(const model::Id& node_id) {
  std::unique_ptr<Entry>& entry = entries_[node_id];
  if (entry == nullptr) {
    entry = std::make_unique<Entry>();
    entry->node.id = node_id;
  }
  return *entry;
}

bool Fleet::set(const FleetNode& node) {
  Entry& entry = entry_at(node.id);
  if (entry.is_known && entry.node == node) return false;
  unshelve(entry);
  entry.node = node;
  entry.node.gpu_count = std::min(node.gpu_count, slot_max + 1);
  entry.is_known = true;
  shelve(entry);
  return true;
}

bool Fleet::remove(const model::Id& node_id) {
  const auto found = entries_.find(node_id);
  if (found == entries_.end() || !found->second->is_known) return false;
  unshelve(*found->second);
  found->second->is_known = false;
  forget_if_unused(node_id);
  return true;
}

void Fleet::forget_if_unused(const model::Id& node_id) {
  const auto found = entries_.find(node_id);
  if (found == entries_.end() || found->second->is_known) return;
  if (found->second->holder_count == 0) entries_.erase(found);
}

void Fleet::take(const std::vector<ReplicaPart>& parts, Hold hold) {
  add(parts, hold, 1);
}
void Fleet::give_back(const std::vector<ReplicaPart>& parts, Hold hold) {
  add(parts, hold, -1);
}

void Fleet::add(const std::vector<ReplicaPart>& parts, Hold hold, int change) {
  for (const ReplicaPart& part : parts) {
    Entry& entry = entry_at(part.node_id);
    for (const std::uint32_t slot : part.gpu_slots) {
      if (slot > slot_max) continue;
      if (slot >= entry.slots.size()) entry.slots.resize(slot + 1);
      Entry::Slot& held = entry.slots[slot];
      const bool was_held = held.firm != 0 || held.leaving != 0;
      (hold == Hold::firm ? held.firm : held.leaving) += change;
      const bool is_held = held.firm != 0 || held.leaving != 0;
      entry.holder_count += static_cast<std::size_t>(is_held) - static_cast<std::size_t>(was_held);
    }
    if (entry.shelf == nullptr) {
      forget_if_unused(part.node_id);
      continue;
    }
    const std::uint32_t free_now = entry.count_free(Horizon::now);
    const std::uint32_t free_soon = entry.count_free(Horizon::soon);
    if (free_now == entry.free_now && free_soon == entry.free_soon) continue;
    entry.shelf->remove(entry);
    entry.free_now = free_now;
    entry.free_soon = free_soon;
    entry.shelf->add(entry);
  }
}

void Fleet::shelve(Entry& entry) {
  const FleetNode& node = entry.node;
  if (!entry.is_known || !node.is_open) return;
  entry.free_now = entry.count_free(Horizon::now);
  entry.free_soon = entry.count_free(Horizon::soon);
  entry.shelf = &pools_[{node.organization, node.instance_type}][node.zone];
  entry.shelf->add(entry);
  sizes_[node.instance_type][node.gpu_count] += 1;
  offered_[node.instance_type][node.zone] += 1;
}

void Fleet::unshelve(Entry& entry) {
  if (entry.shelf == nullptr) return;
  const FleetNode& node = entry.node;
  entry.shelf->remove(entry);
  const auto pool = pools_.find({node.organization, node.instance_type});
  CHECK(pool != pools_.end());
  if (entry.shelf->node_count == 0) pool->second.erase(node.zone);
  if (pool->second.empty()) pools_.erase(pool);
  entry.shelf = nullptr;
  auto& sizes = sizes_.at(node.instance_type);
  if (--sizes.at(node.gpu_count) == 0) sizes.erase(node.gpu_count);
  if (sizes.empty()) sizes_.erase(node.instance_type);
  auto& zones = offered_.at(node.instance_type);
  if (--zones.at(node.zone) == 0) zones.erase(node.zone);
  if (zones.empty()) offered_.erase(node.instance_type);
}

const Fleet::Pool* Fleet::find_pool(const PlacementRequest& request, CapacityClass capacity) const {
  if (capacity == CapacityClass::unspecified) return nullptr;
  const bool is_reserved = capacity == CapacityClass::reserved;
  // Nobody's claims: not the machines that are held by nobody.
  if (is_reserved && request.organization.empty()) return nullptr;
  const auto found =
      pools_.find({is_reserved ? request.organization : std::string{}, request.instance_type});
  return found == pools_.end() ? nullptr : &found->second;
}

std::uint32_t Fleet::largest_gpu_count(const std::string& instance_type) const {
  const auto sizes = sizes_.find(instance_type);
  return sizes == sizes_.end() ? 0 : sizes->second.rbegin()->first;
}

bool Fleet::is_beyond_one_node(const PlacementRequest& request) const {
  return request.may_span && largest_gpu_count(request.instance_type) < request.gpu_count;
}

std::optional<Placement> Fleet::find(const PlacementRequest& request, Horizon horizon) const {
  if (request.gpu_count == 0) return std::nullopt;
  const bool spans = is_beyond_one_node(request);
  for (const CapacityClass capacity : request.classes) {
    const Pool* pool = find_pool(request, capacity);
    if (pool == nullptr) continue;
    std::vector<Entry*> best;
    std::tuple<std::uint32_t, bool, std::uint32_t> best_key;
    for (const auto& [zone, shelf] : *pool) {
      if (!may_use_zone(request, zone)) continue;
      Entry* const one = spans ? nullptr : shelf.find(request.gpu_count, horizon);
      std::vector<Entry*> entries;
      if (spans) entries = shelf.find_whole(request.gpu_count, horizon);
      if (one == nullptr && entries.empty()) continue;
      const auto there = request.replicas_in.find(zone);
      const std::tuple key(there == request.replicas_in.end() ? 0 : there->second,
                           !request.preferred_zones.contains(zone), ~shelf.room);
      if (!best.empty() && key >= best_key) continue;
      best_key = key;
      if (one != nullptr) entries.push_back(one);
      best = std::move(entries);
    }
    if (best.empty()) continue;
    Placement placement{
        .zone = best.front()->node.zone, .parts = {}, .claim_id = best.front()->node.claim_id};
    for (const Entry* entry : best) {
      const std::uint32_t count = spans ? entry->node.gpu_count : request.gpu_count;
      placement.parts.push_back({entry->node.id, entry->pick(count, horizon)});
    }
    return placement;
  }
  return std::nullopt;
}

std::map<std::string, std::uint32_t> Fleet::free_in(const PlacementRequest& request) const {
  const bool spans = is_beyond_one_node(request);
  std::map<std::string, std::uint32_t> free;
  for (const CapacityClass capacity : request.classes) {
    const Pool* pool = find_pool(request, capacity);
    if (pool == nullptr) continue;
    for (const auto& [zone, shelf] : *pool) {
      if (!may_use_zone(request, zone)) continue;
      std::uint32_t& free_gpu_count = free[zone];
      if (!spans) free_gpu_count += shelf.room;
      for (const Entry* entry : shelf.whole_now) {
        if (spans) free_gpu_count += entry->node.gpu_count;
      }
    }
  }
  return free;
}

bool Fleet::may_hold(const model::Id& node_id, const PlacementRequest& request) const {
  const auto found = entries_.find(node_id);
  if (found == entries_.end() || found->second->shelf == nullptr) return false;
  const FleetNode& node = found->second->node;
  if (node.instance_type != request.instance_type || !may_use_zone(request, node.zone)) {
    return false;
  }
  return std::any_of(request.classes.begin(), request.classes.end(), [&](CapacityClass capacity) {
    return capacity == CapacityClass::reserved
               ? !node.organization.empty() && node.organization == request.organization
               : capacity == CapacityClass::on_demand && node.organization.empty();
  });
}

Shortage Fleet::explain(const PlacementRequest& request) const {
  Shortage shortage;
  std::uint32_t most_free = 0;
  for (const auto& [zone, free_gpu_count] : free_in(request)) {
    shortage.zones.push_back({zone, free_gpu_count});
  }
  for (const CapacityClass capacity : request.classes) {
    const Pool* pool = find_pool(request, capacity);
    if (pool == nullptr) continue;
    for (const auto& [zone, shelf] : *pool) {
      if (may_use_zone(request, zone)) most_free = std::max(most_free, shelf.most_free());
    }
  }
  const auto offered = offered_.find(request.instance_type);
  const bool is_offered =
      offered != offered_.end() &&
      std::any_of(offered->second.begin(), offered->second.end(),
                  [&request](const auto& zone) { return may_use_zone(request, zone.first); });
  const bool is_reserved_only =
      request.classes == std::vector<CapacityClass>{CapacityClass::reserved};
  const std::uint32_t largest = largest_gpu_count(request.instance_type);

  if (request.zones && request.zones->empty()) {
    shortage.reason = "NoMatchingZone";
    shortage.message = "The gateways have no zone in common.";
  } else if (shortage.zones.empty() && is_reserved_only) {
    shortage.reason = "NoReservedCapacity";
    shortage.message = fmt::format(
        "No capacity claim of the organization holds an instance of {} in the gateways' zones.",
        request.instance_type);
  } else if (!is_offered) {
    shortage.reason = "NoMatchingZone";
    shortage.message =
        fmt::format("There is no instance of {} in the gateways' zones.", request.instance_type);
  } else if (shortage.zones.empty()) {
    shortage.reason = "InsufficientCapacity";
    shortage.message = fmt::format("All instances of {} are held by capacity claims of others.",
                                   request.instance_type);
  } else if (largest < request.gpu_count && !request.may_span) {
    shortage.reason = "InsufficientCapacity";
    shortage.message = fmt::format(
        "An instance of {} has {} GPUs, one replica needs {}, and replicas of this engine do not "
        "span instances.",
        request.instance_type, largest, request.gpu_count);
  } else if (largest < request.gpu_count) {
    shortage.reason = "InsufficientCapacity";
    shortage.message =
        fmt::format("Waiting for whole instances of {} in one zone.", request.instance_type);
  } else {
    shortage.reason = "InsufficientCapacity";
    shortage.message = fmt::format(
        "Waiting for GPUs of {}, of which at most {} are free on one "
        "instance.",
        request.instance_type, most_free);
  }
  return shortage;
}

void Overlay::begin_leaving(std::vector<ReplicaPart> parts) {
  fleet_.give_back(parts, Hold::firm);
  fleet_.take(parts, Hold::leaving);
  leaving_.push_back(std::move(parts));
}

void Overlay::stop_leaving(const std::vector<ReplicaPart>& parts) {
  const auto found = std::find(leaving_.rbegin(), leaving_.rend(), parts);
  CHECK(found != leaving_.rend());
  fleet_.give_back(parts, Hold::leaving);
  fleet_.take(parts, Hold::firm);
  leaving_.erase(std::next(found).base());
}

std::optional<Placement> Overlay::place(const PlacementRequest& request, Horizon horizon) {
  std::optional<Placement> placement = fleet_.find(request, horizon);
  if (!placement) return std::nullopt;
  fleet_.take(placement->parts, Hold::firm);
  taken_.emplace(first_slot(placement->parts), placement->parts);
  return placement;
}

void Overlay::settle(const std::vector<ReplicaPart>& parts) {
  const auto found = taken_.find(first_slot(parts));
  CHECK(found != taken_.end());
  fleet_.give_back(parts, Hold::firm);
  taken_.erase(found);
}

void Overlay::undo() {
  for (const auto& [slot, parts] : taken_) fleet_.give_back(parts, Hold::firm);
  for (const auto& parts : leaving_) {
    fleet_.give_back(parts, Hold::leaving);
    fleet_.take(parts, Hold::firm);
  }
  taken_.clear();
  leaving_.clear();
}

}  // namespace staithe::reconcile
