#include "cli/insight_text.h"

#include <gtest/gtest.h>

#include <sstream>

namespace staithe::cli {
namespace {

using nlohmann::json;

TEST(PrintPlan, says_what_would_start_where_and_what_would_wait) {
  std::ostringstream out;
  print_plan(out, json::parse(R"({
    "summary": "Two replicas start, one waits.", "restartsReplicas": false,
    "replicas": [
      {"change": "PLANNED_CHANGE_CREATE", "nodeIds": ["n1"], "zone": "RNO2A", "claimId": "c1",
       "capacityClass": "CAPACITY_CLASS_RESERVED", "reason": "fullest node that fits"},
      {"change": "PLANNED_CHANGE_CREATE", "nodeIds": [], "reason": "no room"},
      {"change": "PLANNED_CHANGE_REPLACE", "replacedId": "d1-0-ff", "nodeIds": ["n2"], "zone": "RNO2A",
       "capacityClass": "CAPACITY_CLASS_ON_DEMAND", "reason": "new runtime"}],
    "pending": 1, "pendingReason": "no node has 4 free GPUs",
    "shortages": [{"zone": "RNO2A", "needed": 4, "free": 2, "missing": 2, "reason": "scattered"}]
  })"),
             "updating deployment llama", "d1", {{"c1", "team-a"}});
  EXPECT_EQ(out.str(),
            "Plan for updating deployment llama: Two replicas start, one waits.\n"
            "\n"
            "CHANGE   REPLICA   NODE   ZONE   CAPACITY           WHY\n"
            "create   new       n1     RNO2A  reserved (team-a)  fullest node that fits\n"
            "create   new       waits  -      -                  no room\n"
            "replace  for 0-ff  n2     RNO2A  on demand          new runtime\n"
            "\n"
            "1 would wait: no node has 4 free GPUs\n"
            "  ZONE   NEEDED  FREE  MISSING  WHY\n"
            "  RNO2A  4       2     2        scattered\n"
            "\n"
            "Nothing was changed.\n");
}

TEST(PrintPlan, of_many_nodes_the_first_few_are_named) {
  std::ostringstream out;
  print_plan(out, json::parse(R"({
    "summary": "It grows.", "restartsReplicas": true,
    "zones": [{"zone": "RNO2A", "taken": ["a", "b", "c", "d", "e", "f"], "kept": ["z"]}]
  })"),
             "updating claim team", "c1", {});
  EXPECT_EQ(out.str(),
            "Plan for updating claim team: It grows.\n"
            "\n"
            "ZONE   TAKES                     KEEPS  GIVES UP\n"
            "RNO2A  a, b, c, d, … (6 in all)  z      -\n"
            "\n"
            "Replicas that run now would be replaced or stopped. Nothing was changed.\n");
}

TEST(PrintExplanation, says_why_in_the_order_in_which_people_ask) {
  std::ostringstream out;
  print_explanation(out, json::parse(R"({
    "deploymentId": "d1", "status": "STATUS_UPDATING", "summary": "One of two is ready.",
    "wanted": 2, "min": 1, "max": 4, "wantedReason": "20 requests for 16 each",
    "demand": 20.5, "target": 16, "rollOut": "ROLL_OUT_ONE_BY_ONE", "oldReplicas": 1,
    "rollOutReason": "no room beside it",
    "replicas": [
      {"id": "d1-0-ff", "phase": "REPLICA_PHASE_READY", "nodeIds": ["n1"], "zone": "RNO2A",
       "capacityClass": "CAPACITY_CLASS_RESERVED", "claimId": "c1", "isCurrent": false,
       "isDraining": true, "restarts": 3, "reason": "its successor is ready"}],
    "unplaced": 1, "unplacedReason": "no node has 8 free GPUs",
    "shortages": [{"zone": "RNO2A", "needed": 8, "free": 5, "missing": 3, "reason": "scattered"}],
    "servedBefore": [{"deploymentId": "d2", "name": "vip", "priority": 900, "waitingReplicas": 2},
                     {"priority": 500, "waitingReplicas": 1}]
  })"),
                    {{"d1", "llama"}}, {{"c1", "team-a"}});
  EXPECT_EQ(out.str(),
            "llama is UPDATING. One of two is ready.\n"
            "\n"
            "Count       2 replicas wanted, between 1 and 4: 20 requests for 16 each\n"
            "Demand      20.5 requests at once; a replica is for 16 requests\n"
            "Roll-out    one by one, 1 old replica left: no room beside it\n"
            "\n"
            "REPLICA  PHASE            FOR  NODE  ZONE   CAPACITY           SPEC  RESTARTS  WHY\n"
            "0-ff     ready, draining  ?    n1    RNO2A  reserved (team-a)  old   3         "
            "its successor is ready\n"
            "\n"
            "1 replica has no place: no node has 8 free GPUs\n"
            "  ZONE   NEEDED  FREE  MISSING  WHY\n"
            "  RNO2A  8       5     3        scattered\n"
            "Served first:\n"
            "  vip (priority 900) waits for 2 replicas\n"
            "  another organization's (priority 500) waits for 1 replica\n");
}

TEST(PrintExplanation, a_demand_that_nobody_knows_is_not_told_as_zero) {
  std::ostringstream out;
  print_explanation(out, json::parse(R"({"deploymentId": "d1", "target": 16})"), {}, {});
  EXPECT_NE(out.str().find("Demand      unknown"), std::string::npos) << out.str();
}

}  // namespace
}  // namespace staithe::cli
