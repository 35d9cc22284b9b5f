#include "cli/insight_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <vector>

#include "base/encoding.h"
#include "cli/output.h"

namespace staithe::cli {
namespace {

using nlohmann::json;

constexpr std::string_view none = "-";

std::string or_none(std::string text) {
  return text.empty() ? std::string(none) : text;
}

std::string name_of(const Names& names, const std::string& id) {
  const auto found = names.find(id);
  return found == names.end() ? id : found->second;
}

// "a, b, c"; of many the first few and how many there are.
std::string join_ids(const json& ids) {
  constexpr std::size_t shown_max = 4;
  std::string text;
  for (std::size_t i = 0; i < ids.size() && i < shown_max; ++i) {
    text += (i == 0 ? "" : ", ") + ids[i].get<std::string>();
  }
  if (ids.size() > shown_max) text += fmt::format(", … ({} in all)", ids.size());
  return or_none(text);
}

// Replica ids begin with their deployment's.
std::string short_replica(const std::string& id, const std::string& deployment_id) {
  return !deployment_id.empty() && id.starts_with(deployment_id + "-")
             ? id.substr(deployment_id.size() + 1)
             : id;
}

std::string capacity_text(const json& replica, const Names& claims) {
  const std::string text = text_of(replica, "capacityClass");
  if (text == "CAPACITY_CLASS_ON_DEMAND") return "on demand";
  if (text != "CAPACITY_CLASS_RESERVED") return std::string(none);
  return fmt::format("reserved ({})", name_of(claims, text_of(replica, "claimId")));
}

void print_shortages(std::ostream& out, const json& shortages) {
  if (shortages.empty()) return;
  std::vector<Row> rows{{"ZONE", "NEEDED", "FREE", "MISSING", "WHY"}};
  for (const json& shortage : shortages) {
    rows.push_back({text_of(shortage, "zone"), std::to_string(number_of(shortage, "needed")),
                    std::to_string(number_of(shortage, "free")),
                    std::to_string(number_of(shortage, "missing")), text_of(shortage, "reason")});
  }
  print_table(out, rows, "  ");
}

// A line that says what it is about: "Roll-out    one by one".
void print_fact(std::ostream& out, std::string_view about, const std::string& text) {
  out << fmt::format("{:<12}{}\n", about, text);
}

std::string wanted_text(const json& explanation) {
  std::string text = fmt::format("{} wanted, between {} and {}",
                                 counted(number_of(explanation, "wanted"), "replica"),
                                 number_of(explanation, "min"), number_of(explanation, "max"));
  if (const std::string reason = text_of(explanation, "wantedReason"); !reason.empty()) {
    text += ": " + reason;
  }
  return text;
}

std::string demand_text(const json& explanation) {
  std::string text = explanation.contains("demand")
                         ? fmt::format("{:.1f} requests at once", explanation.value("demand", 0.0))
                         : "unknown";
  if (const std::uint64_t target = number_of(explanation, "target"); target > 0) {
    text += fmt::format("; a replica is for {}", counted(target, "request"));
  }
  return text;
}

void print_replicas(std::ostream& out, const json& explanation, const Names& claims) {
  const json replicas = list_of(explanation, "replicas");
  if (replicas.empty()) {
    out << "There are no replicas.\n";
    return;
  }
  const std::string deployment_id = text_of(explanation, "deploymentId");
  std::vector<Row> rows{
      {"REPLICA", "PHASE", "FOR", "NODE", "ZONE", "CAPACITY", "SPEC", "RESTARTS", "WHY"}};
  for (const json& replica : replicas) {
    std::string phase = to_lower(without_prefix(text_of(replica, "phase"), "REPLICA_PHASE_"));
    if (flag_of(replica, "isDraining")) phase += ", draining";
    rows.push_back({short_replica(text_of(replica, "id"), deployment_id), phase,
                    age(text_of(replica, "since")), join_ids(list_of(replica, "nodeIds")),
                    text_of(replica, "zone"), capacity_text(replica, claims),
                    flag_of(replica, "isCurrent") ? "current" : "old",
                    std::to_string(number_of(replica, "restarts")), text_of(replica, "reason")});
  }
  print_table(out, rows);
}

void print_waiting(std::ostream& out, const json& explanation, const Names& deployments) {
  const std::uint64_t unplaced = number_of(explanation, "unplaced");
  if (unplaced > 0) {
    out << '\n'
        << fmt::format("{} no place: {}\n",
                       counted(unplaced, "replica") + (unplaced == 1 ? " has" : " have"),
                       text_of(explanation, "unplacedReason"));
    print_shortages(out, list_of(explanation, "shortages"));
  }
  const json before = list_of(explanation, "servedBefore");
  if (before.empty()) return;
  out << "Served first:\n";
  for (const json& other : before) {
    const std::string id = text_of(other, "deploymentId");
    std::string name = text_of(other, "name");
    if (name.empty()) name = id.empty() ? "another organization's" : name_of(deployments, id);
    out << fmt::format("  {} (priority {}) waits for {}\n", name, number_of(other, "priority"),
                       counted(number_of(other, "waitingReplicas"), "replica"));
  }
}

std::string change_text(const json& replica) {
  return to_lower(without_prefix(text_of(replica, "change"), "PLANNED_CHANGE_"));
}

void print_planned_replicas(std::ostream& out, const json& replicas,
                            const std::string& deployment_id, const Names& claims) {
  if (replicas.empty()) return;
  std::vector<Row> rows{{"CHANGE", "REPLICA", "NODE", "ZONE", "CAPACITY", "WHY"}};
  for (const json& replica : replicas) {
    const std::string replaced = short_replica(text_of(replica, "replacedId"), deployment_id);
    const std::string id = short_replica(text_of(replica, "id"), deployment_id);
    rows.push_back(
        {change_text(replica), !replaced.empty() ? "for " + replaced : (id.empty() ? "new" : id),
         list_of(replica, "nodeIds").empty() ? "waits" : join_ids(list_of(replica, "nodeIds")),
         or_none(text_of(replica, "zone")), capacity_text(replica, claims),
         text_of(replica, "reason")});
  }
  out << '\n';
  print_table(out, rows);
}

void print_planned_zones(std::ostream& out, const json& zones) {
  if (zones.empty()) return;
  std::vector<Row> rows{{"ZONE", "TAKES", "KEEPS", "GIVES UP"}};
  for (const json& zone : zones) {
    rows.push_back({text_of(zone, "zone"), join_ids(list_of(zone, "taken")),
                    join_ids(list_of(zone, "kept")), join_ids(list_of(zone, "released"))});
  }
  out << '\n';
  print_table(out, rows);
}

}  // namespace

void print_explanation(std::ostream& out, const json& explanation, const Names& deployments,
                       const Names& claims) {
  const std::string id = text_of(explanation, "deploymentId");
  out << fmt::format("{} is {}. {}\n\n", name_of(deployments, id),
                     without_prefix(text_of(explanation, "status"), "STATUS_"),
                     text_of(explanation, "summary"));
  print_fact(out, "Count", wanted_text(explanation));
  print_fact(out, "Demand", demand_text(explanation));
  if (const std::string roll_out = text_of(explanation, "rollOut");
      roll_out != "ROLL_OUT_NONE" && !roll_out.empty()) {
    const std::string how = roll_out == "ROLL_OUT_SURGE" ? "new ones beside the old" : "one by one";
    std::string text = fmt::format("{}, {} left", how,
                                   counted(number_of(explanation, "oldReplicas"), "old replica"));
    if (const std::string why = text_of(explanation, "rollOutReason"); !why.empty()) {
      text += ": " + why;
    }
    print_fact(out, "Roll-out", text);
  }
  if (const std::string next = text_of(explanation, "nextLook"); !next.empty()) {
    print_fact(out, "Next look", "in " + age(next));
  }
  out << '\n';
  print_replicas(out, explanation, claims);
  print_waiting(out, explanation, deployments);
}

void print_plan(std::ostream& out, const json& plan, const std::string& subject,
                const std::string& id, const Names& claims) {
  out << fmt::format("Plan for {}: {}\n", subject, text_of(plan, "summary"));
  print_planned_replicas(out, list_of(plan, "replicas"), id, claims);
  print_planned_zones(out, list_of(plan, "zones"));
  if (number_of(plan, "pending") > 0) {
    out << '\n'
        << fmt::format("{} would wait: {}\n", number_of(plan, "pending"),
                       text_of(plan, "pendingReason"));
    print_shortages(out, list_of(plan, "shortages"));
  }
  out << '\n';
  if (flag_of(plan, "restartsReplicas")) {
    out << "Replicas that run now would be replaced or stopped. ";
  }
  out << "Nothing was changed.\n";
}

}  // namespace staithe::cli
