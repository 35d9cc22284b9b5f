#include "reconcile/allot.h"

#include <algorithm>
#include <queue>

namespace staithe::reconcile {
namespace {

using Tier = Contention::Tier;
using Parts = std::vector<model::ReplicaPart>;

Contention::Shape shape_of(const PlacementRequest& request) {
  return {.organization = request.organization,
          .instance_type = request.instance_type,
          .gpu_count = request.gpu_count,
          .zones = request.zones,
          .classes = request.classes,
          .may_span = request.may_span};
}

std::uint32_t missing(const Contender& contender, Tier tier) {
  return tier == Tier::minimum ? contender.missing_of_min : contender.missing_above_min;
}

struct Victim {
  model::Id replica_id;
  Parts parts;
};

bool shares_node(const Parts& left, const Parts& right) {
  return std::any_of(left.begin(), left.end(), [&right](const auto& one) {
    return std::any_of(right.begin(), right.end(),
                       [&one](const auto& other) { return one.node_id == other.node_id; });
  });
}

// One sweep, with what was allotted so far.
class Sweep {
 public:
  Sweep(Overlay& overlay, const Contention& contention)
      : overlay_(overlay), contention_(contention) {}

  Allotments run() {
    serve(Tier::minimum);
    serve(Tier::above);
    return std::move(result_);
  }

 private:
  // Those of one shape that have not had their turn.
  struct Line {
    std::set<Turn>::const_iterator next;
    std::set<Turn>::const_iterator end;
  };

  void serve(Tier tier) {
    const auto is_later = [](const Line& left, const Line& right) {
      return *right.next < *left.next;
    };
    std::priority_queue<Line, std::vector<Line>, decltype(is_later)> lines(is_later);
    for (const auto& [shape, turns] : contention_.groups(tier)) {
      lines.push({turns.begin(), turns.end()});
    }
    while (!lines.empty()) {
      Line line = lines.top();
      lines.pop();
      if (!serve(*contention_.find(line.next->id), tier)) continue;
      if (++line.next != line.end) lines.push(line);
    }
  }

  // False if there was not enough.
  bool serve(const Contender& contender, Tier tier) {
    PlacementRequest request = contender.request;
    const auto got = result_.by_deployment.find(contender.turn.id);
    if (got != result_.by_deployment.end()) {
      for (const Placement& each : got->second.placements) request.replicas_in[each.zone] += 1;
      for (const Placement& each : got->second.coming) request.replicas_in[each.zone] += 1;
    }
    for (std::uint32_t i = 0; i < missing(contender, tier); ++i) {
      std::optional<Placement> placement = overlay_.place(request);
      const bool is_now = placement.has_value();
      if (!placement) placement = overlay_.place(request, Horizon::soon);
      if (!placement && tier == Tier::minimum) placement = evict_for(contender, request);
      if (!placement) return false;
      request.replicas_in[placement->zone] += 1;
      Allotment& allotment = result_.by_deployment[contender.turn.id];
      (is_now ? allotment.placements : allotment.coming).push_back(std::move(*placement));
    }
    return true;
  }

  std::optional<Placement> evict_for(const Contender& contender, const PlacementRequest& request) {
    std::vector<Victim> victims;
    std::optional<Placement> placement;
    const std::set<Turn>& losers = contention_.with_spares();
    for (auto turn = losers.rbegin(); turn != losers.rend() && !placement; ++turn) {
      if (turn->priority >= contender.turn.priority) break;
      for (const auto& [id, parts] : contention_.find(turn->id)->spares) {
        if (result_.victims.contains(id) || !may_help(parts, request)) continue;
        overlay_.begin_leaving(parts);
        victims.push_back({id, parts});
        placement = overlay_.fleet().find(request, Horizon::soon);
        if (placement) break;
      }
    }
    if (!placement) {
      for (const Victim& victim : victims) overlay_.stop_leaving(victim.parts);
      return std::nullopt;
    }
    // Whoever is not in the way stays.
    std::erase_if(victims, [this, &placement](const Victim& victim) {
      if (shares_node(victim.parts, placement->parts)) return false;
      overlay_.stop_leaving(victim.parts);
      return true;
    });
    // Of the others those named last are tried first, so that the newest leave.
    for (auto victim = victims.rbegin(); victim != victims.rend(); ++victim) {
      overlay_.stop_leaving(victim->parts);
      if (overlay_.fleet().find(request, Horizon::soon)) continue;
      overlay_.begin_leaving(victim->parts);
      result_.victims[victim->replica_id] = contender.turn.id;
    }
    return overlay_.place(request, Horizon::soon);
  }

  bool may_help(const Parts& parts, const PlacementRequest& request) const {
    return std::any_of(parts.begin(), parts.end(), [&](const auto& part) {
      return overlay_.fleet().may_hold(part.node_id, request);
    });
  }

  Overlay& overlay_;
  const Contention& contention_;
  Allotments result_;
};

}  // namespace

bool Contention::set(Contender contender) {
  const auto found = contenders_.find(contender.turn.id);
  if (found != contenders_.end()) {
    if (found->second == contender) return false;
    unindex(found->second);
    found->second = std::move(contender);
    index(found->second);
    return true;
  }
  const model::Id id = contender.turn.id;
  index(contenders_.emplace(id, std::move(contender)).first->second);
  return true;
}

bool Contention::remove(const model::Id& id) {
  const auto found = contenders_.find(id);
  if (found == contenders_.end()) return false;
  unindex(found->second);
  contenders_.erase(found);
  return true;
}

const Contender* Contention::find(const model::Id& id) const {
  const auto found = contenders_.find(id);
  return found == contenders_.end() ? nullptr : &found->second;
}

void Contention::index(const Contender& contender) {
  const Shape shape = shape_of(contender.request);
  if (contender.missing_of_min > 0) minimum_[shape].insert(contender.turn);
  if (contender.missing_above_min > 0) above_[shape].insert(contender.turn);
  if (!contender.spares.empty()) with_spares_.insert(contender.turn);
}

void Contention::unindex(const Contender& contender) {
  const Shape shape = shape_of(contender.request);
  for (Groups* groups : {&minimum_, &above_}) {
    const auto group = groups->find(shape);
    if (group == groups->end()) continue;
    group->second.erase(contender.turn);
    if (group->second.empty()) groups->erase(group);
  }
  with_spares_.erase(contender.turn);
}

Allotments allot(Overlay& overlay, const Contention& contention) {
  return Sweep(overlay, contention).run();
}

}  // namespace staithe::reconcile
