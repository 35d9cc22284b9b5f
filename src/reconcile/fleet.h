#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "model/node.h"
#include "reconcile/placement.h"

namespace staithe::reconcile {

// A machine as placement sees it.
struct FleetNode {
  model::Id id;
  std::string zone;           // folded
  std::string instance_type;  // folded
  std::uint32_t gpu_count = 0;
  std::string organization;  // whose claim holds it; empty: on demand, for everyone
  model::Id claim_id;        // empty: on demand
  bool is_open = true;       // new replicas may be put on it

  bool operator==(const FleetNode&) const = default;
};

// How a replica holds its slots: to stay, or until its engine is gone.
enum class Hold : std::uint8_t { firm, leaving };

// What has to be free by when: at once, or as soon as those who are leaving are gone.
enum class Horizon : std::uint8_t { now, soon };

// An index of what is free on every machine, kept up change by change. A look-up costs a few map
// look-ups for each zone, however many machines there are; a change the same for its machine.
//
// The rule of placement, in this order:
// 1. The first capacity class of the request that has room at all.
// 2. The zone: the one with the fewest replicas of this deployment, then one that the caller
// prefers
//    (it has the weights), then the one with most room, then the first by name.
// 3. The node in that zone: the fullest one that fits, so that big gaps stay whole; then the first
//    by id. Its lowest free slots.
// A replica that no instance of the type could hold takes, if it may, whole free nodes of one zone,
// chosen by rule 2 among those that have enough: the largest first, then by id. They may belong to
// several claims of its organization.
// Spreading comes before packing because a zone that fails takes all its replicas with it, while
// what is packed less well is only less tidy; within a zone packing decides alone.
//
// What is answered depends on what is free and not on the order of the changes that led there. Each
// slot counts its holders, so changes of several replicas may come in any order. One thread.
class Fleet {
 public:
  Fleet();
  ~Fleet();
  Fleet(const Fleet&) = delete;
  Fleet& operator=(const Fleet&) = delete;

  // A machine is new or another than before; true if that makes a difference. What is held on it
  // stays held.
  bool set(const FleetNode& node);
  // It is gone; true if it was there. What is held on it is remembered in case it returns.
  bool remove(const model::Id& node_id);

  void take(const std::vector<model::ReplicaPart>& parts, Hold hold);
  void give_back(const std::vector<model::ReplicaPart>& parts, Hold hold);

  // A home for one replica; nothing if there is none. With Horizon::soon only homes are found that
  // need somebody to go who is leaving already.
  std::optional<Placement> find(const PlacementRequest& request,
                                Horizon horizon = Horizon::now) const;
  // Why there is none.
  Shortage explain(const PlacementRequest& request) const;

  // Whether `request` could ever use a node.
  bool may_hold(const model::Id& node_id, const PlacementRequest& request) const;

 private:
  struct Entry;
  struct Shelf;
  struct ById {
    bool operator()(const Entry* left, const Entry* right) const;
  };
  struct LargestFirst {
    bool operator()(const Entry* left, const Entry* right) const;
  };
  // Machines of one type that the same replicas may use, by zone.
  using Pool = std::map<std::string, Shelf, std::less<>>;
  // By organization (empty: on demand) and instance type.
  using Pools = std::map<std::pair<std::string, std::string>, Pool>;

  Entry& entry_at(const model::Id& node_id);
  void add(const std::vector<model::ReplicaPart>& parts, Hold hold, int change);
  void shelve(Entry& entry);
  void unshelve(Entry& entry);
  void forget_if_unused(const model::Id& node_id);

  const Pool* find_pool(const PlacementRequest& request, model::CapacityClass capacity) const;
  // Free GPUs that count, by zone.
  std::map<std::string, std::uint32_t> free_in(const PlacementRequest& request) const;
  bool is_beyond_one_node(const PlacementRequest& request) const;
  std::uint32_t largest_gpu_count(const std::string& instance_type) const;

  std::unordered_map<model::Id, std::unique_ptr<Entry>> entries_;
  Pools pools_;
  // By instance type: how many open machines there are of each size, and in each zone.
  std::map<std::string, std::map<std::uint32_t, std::size_t>> sizes_;
  std::map<std::string, std::map<std::string, std::size_t>> offered_;
};

// Changes of a fleet on trial: undone in the end. Others may change the fleet meanwhile.
class Overlay {
 public:
  explicit Overlay(Fleet& fleet) : fleet_(fleet) {}
  ~Overlay() { undo(); }
  Overlay(const Overlay&) = delete;
  Overlay& operator=(const Overlay&) = delete;

  const Fleet& fleet() const { return fleet_; }
  // As if a replica had begun to leave, or to leave no more.
  void begin_leaving(std::vector<model::ReplicaPart> parts);
  void stop_leaving(const std::vector<model::ReplicaPart>& parts);
  // Finds and takes.
  std::optional<Placement> place(const PlacementRequest& request, Horizon horizon = Horizon::now);
  // What was taken on trial is real now, held by whoever told the fleet.
  void settle(const std::vector<model::ReplicaPart>& parts);
  void undo();

 private:
  Fleet& fleet_;
  // By their first slot, which nothing else that was taken here has.
  std::map<std::pair<model::Id, std::uint32_t>, std::vector<model::ReplicaPart>> taken_;
  std::vector<std::vector<model::ReplicaPart>> leaving_;
};

}  // namespace staithe::reconcile
