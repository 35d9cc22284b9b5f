#include "cli/node_command.h"

#include <fmt/format.h>

#include <chrono>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/clock.h"
#include "base/encoding.h"
#include "cli/command_line.h"
#include "cli/output.h"
#include "cli/pause.h"
#include "cli/resources.h"

namespace staithe::cli {
namespace {

using nlohmann::json;

constexpr const char* collection = "/staithe/v1/nodes";

struct Flags {
  bool is_json = false;
  std::string id;
  std::string zone;
  std::string instance_type;
  std::uint32_t gpu_count = 1;
  std::string organization;
  bool is_waiting = false;
  std::uint32_t timeout_s = 300;
  bool is_forced = false;
};

std::string state_of(const json& node) {
  return without_prefix(text_of(node, "state"), "NODE_STATE_");
}

std::string join_words(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : ", ") + word;
  return text;
}

class NodeCommand {
 public:
  NodeCommand(ApiClient& client, Flags flags, std::ostream& out, std::ostream& err)
      : client_(client), flags_(std::move(flags)), out_(out), err_(err) {}

  Result<int> list() {
    std::string query;
    const auto narrow = [&query](const char* name, const std::string& value) {
      if (value.empty()) return;
      query += fmt::format("{}{}={}", query.empty() ? "?" : "&", name, percent_encode(value));
    };
    narrow("zone", flags_.zone);
    narrow("instanceType", flags_.instance_type);
    TRY_ASSIGN(const json answer, client_.call("GET", collection + query));
    const json nodes = list_of(answer, "nodes");
    if (flags_.is_json) {
      out_ << nodes.dump(2) << '\n';
      return 0;
    }
    return print_nodes(nodes);
  }

  Result<int> get() {
    TRY_ASSIGN(const json node, call("GET", ""));
    if (flags_.is_json) return print(node);
    TRY(print(node));
    TRY_ASSIGN(const Names names, names_by_id(client_, deployment_kind));
    std::vector<std::string> users;
    for (const json& id : list_of(node, "deploymentIds")) {
      const auto found = names.find(id.get<std::string>());
      users.push_back(found == names.end() ? id.get<std::string>() : found->second);
    }
    if (!users.empty()) out_ << "Runs replicas of " << join_words(users) << ".\n";
    return 0;
  }

  Result<int> join() {
    json body{{"id", flags_.id},
              {"zone", flags_.zone},
              {"instanceType", flags_.instance_type},
              {"gpuCount", flags_.gpu_count}};
    if (!flags_.organization.empty()) body["organizationId"] = flags_.organization;
    TRY_ASSIGN(const json answer, client_.call("POST", collection, body));
    return print(answer.value("node", json::object()));
  }

  Result<int> drain() {
    TRY_ASSIGN(const json node, call("POST", "/drain", json::object()));
    if (flags_.is_waiting) return wait_until_drained();
    TRY(print(node));
    if (!flags_.is_json && state_of(node) == "DRAINING") {
      out_ << "What is there moves away; `staithe node get " << text_of(node, "id")
           << "` shows DRAINED once it is empty.\n";
    }
    return 0;
  }

  Result<int> resume() {
    TRY_ASSIGN(const json node, call("POST", "/resume", json::object()));
    return print(node);
  }

  Result<int> remove() {
    TRY_ASSIGN(const json node, call("DELETE", flags_.is_forced ? "?force=true" : ""));
    if (flags_.is_json) return print(node);
    out_ << fmt::format("{} is removed.\n", text_of(node, "id"));
    return 0;
  }

 private:
  Result<json> call(const char* method, const std::string& suffix, const json& body = nullptr) {
    const std::string path = fmt::format("{}/{}{}", collection, percent_encode(flags_.id), suffix);
    TRY_ASSIGN(const json answer, client_.call(method, path, body));
    return answer.value("node", json::object());
  }

  Result<int> wait_until_drained() {
    const SystemClock clock;
    const Instant due = clock.instant() + std::chrono::seconds{flags_.timeout_s};
    std::string said;
    while (true) {
      TRY_ASSIGN(const json node, call("GET", ""));
      const std::string state = state_of(node);
      if (state == "DRAINED") return print(node);
      if (state != "DRAINING") {
        err_ << fmt::format("{} is {}\n", flags_.id, state);
        return exit_refused;
      }
      const std::string saying =
          fmt::format("DRAINING: {} left{}", counted(number_of(node, "replicaCount"), "replica"),
                      flag_of(node, "isClaimed") ? ", held by a claim" : "");
      if (saying != said) err_ << saying << '\n';
      said = saying;
      if (clock.instant() >= due) {
        err_ << fmt::format("{} is not drained after {} s\n", flags_.id, flags_.timeout_s);
        return exit_timeout;
      }
      pause_for(std::chrono::milliseconds{250});
    }
  }

  Result<int> print(const json& node) {
    if (flags_.is_json) {
      out_ << node.dump(2) << '\n';
      return 0;
    }
    return print_nodes(json::array({node}));
  }

  Result<int> print_nodes(const json& nodes) {
    TRY_ASSIGN(const Names claims, names_by_id(client_, claim_kind));
    std::vector<Row> rows{{"NODE", "STATE", "ZONE", "INSTANCE TYPE", "GPUS FREE", "REPLICAS",
                           "CLAIM", "OWNER", "SOURCE"}};
    for (const json& node : nodes) {
      const auto claim = claims.find(text_of(node, "claimId"));
      std::string holder = claim == claims.end() ? text_of(node, "claimId") : claim->second;
      if (holder.empty()) holder = flag_of(node, "isClaimed") ? "(another organization's)" : "-";
      const std::string owner = text_of(node, "organizationId");
      rows.push_back(
          {text_of(node, "id"), state_of(node), text_of(node, "zone"),
           text_of(node, "instanceType"),
           fmt::format("{}/{}", number_of(node, "freeGpuCount"), number_of(node, "gpuCount")),
           std::to_string(number_of(node, "replicaCount")), holder, owner.empty() ? "-" : owner,
           to_lower(without_prefix(text_of(node, "source"), "NODE_SOURCE_"))});
    }
    print_table(out_, rows);
    return 0;
  }

  ApiClient& client_;
  const Flags flags_;
  std::ostream& out_;
  std::ostream& err_;
};

}  // namespace

int run_node_command(const std::vector<std::string>& arguments,
                     const std::map<std::string, std::string>& environment, std::ostream& out,
                     std::ostream& err) {
  Flags flags;
  CommandLine line("staithe node", "Looks after the machines that replicas run on.", environment);
  line.app().require_subcommand(1);

  using Action = Result<int> (NodeCommand::*)();
  Action action = nullptr;
  const auto add = [&line, &action](const char* name, const char* help, Action what) {
    CLI::App* command = line.app().add_subcommand(name, help);
    command->callback([&action, what] { action = what; });
    return command;
  };
  CLI::App* list = add("list", "show all of them", &NodeCommand::list);
  list->add_option("--zone", flags.zone, "only those of this zone");
  list->add_option("--instance-type", flags.instance_type, "only those of this type");
  CLI::App* get = add("get", "show one", &NodeCommand::get);
  CLI::App* join =
      add("join", "add a machine; its engines run beside the server", &NodeCommand::join);
  join->add_option("--zone", flags.zone, "its zone, such as US-LOCAL-01A; may be new")->required();
  join->add_option("--instance-type", flags.instance_type, "its type; may be new")->required();
  join->add_option("--gpu-count", flags.gpu_count, "its GPUs")->capture_default_str();
  join->add_option("--organization", flags.organization,
                   "whose own it is, for CAPACITY_TYPE_CUSTOMER; the platform's unless told");
  CLI::App* drain =
      add("drain", "give it nothing new and move what is there away", &NodeCommand::drain);
  drain->add_flag("--wait", flags.is_waiting, "until it is empty");
  drain->add_option("--timeout", flags.timeout_s, "seconds to wait")->capture_default_str();
  CLI::App* resume = add("resume", "use it again", &NodeCommand::resume);
  CLI::App* remove = add("remove", "forget one that joined, or that is lost", &NodeCommand::remove);
  remove->add_flag("--force", flags.is_forced, "even while it is in use");
  for (CLI::App* command : {get, join, drain, resume, remove}) {
    command->add_option("id", flags.id, "its id")->required();
  }
  return line.execute(arguments, out, err, [&](ApiClient& client) {
    flags.is_json = line.is_json();
    NodeCommand command(client, flags, out, err);
    return (command.*action)();
  });
}

}  // namespace staithe::cli
