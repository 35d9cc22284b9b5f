#pragma once

#include <nlohmann/json.hpp>

#include <ostream>

#include "cli/resources.h"

// What the control plane explains and plans, for people. Pure text: the same answer, the same words
// (but for times, which are told as how long ago they were).
namespace staithe::cli {

// `explanation` is the member of ExplainDeployment's answer. Names stand in for ids where known.
void print_explanation(std::ostream& out, const nlohmann::json& explanation,
                       const Names& deployments, const Names& claims);

// `plan` is the member of a plan's answer. `subject` says of what: "creating deployment llama";
// `id` is the resource's, empty of a new one.
void print_plan(std::ostream& out, const nlohmann::json& plan, const std::string& subject,
                const std::string& id, const Names& claims);

}  // namespace staithe::cli
