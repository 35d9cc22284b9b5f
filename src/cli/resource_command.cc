#include "cli/resource_command.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "base/clock.h"
#include "cli/command_line.h"
#include "cli/insight_text.h"
#include "cli/output.h"
#include "cli/pause.h"

namespace staithe::cli {
namespace {

using nlohmann::json;

struct Flags {
  bool is_json = false;
  std::string file;
  std::string target;  // id or name
  std::string id;
  std::string name;
  std::vector<std::string> zones;
  std::string instance_type;
  std::uint32_t count = 1;
  std::string capacity_type = "CAPACITY_TYPE_MANAGED";
  std::string routing = "body";
  std::string header_name = "X-Model-Name";
  std::vector<std::string> gateways;
  std::string engine;
  std::string version;
  std::vector<std::string> engine_config;
  std::vector<std::string> engine_env;
  std::uint32_t gpu_count = 1;
  std::string model_name;
  std::string bucket;
  std::string path;
  std::uint32_t min = 1;
  std::uint32_t max = 0;
  std::uint32_t concurrency = 0;
  std::uint32_t weight = 0;
  bool disabled = false;
  std::string wait_for = "ready";
  std::uint32_t timeout_s = 300;
};

Result<json> read_pairs(const std::vector<std::string>& pairs) {
  json object = json::object();
  for (const std::string& pair : pairs) {
    const auto equals = pair.find('=');
    if (equals == std::string::npos) return usage_error("\"" + pair + "\" is not KEY=VALUE");
    object[pair.substr(0, equals)] = pair.substr(equals + 1);
  }
  return object;
}

// What explains why a resource is not ready: its first false condition, and the same zone by zone.
std::string explanation(const json& resource) {
  const json conditions = resource["status"].value("conditions", json::array());
  std::string type;
  std::string text;
  for (const json& condition : conditions) {
    const std::string its_type = condition.value("type", "");
    if (condition.value("status", "") != "False" || its_type == "Progressing" ||
        its_type == "Ready") {
      continue;
    }
    const std::string zone = condition.value("zone", "");
    const std::string message = condition.value("message", "");
    if (type.empty()) {
      type = its_type;
      text = fmt::format("{}: {}", condition.value("reason", ""), message);
      if (!zone.empty()) text += fmt::format(" ({})", zone);
    } else if (its_type == type && !zone.empty()) {
      text += fmt::format(" {}: {}.", zone, message);
    }
  }
  if (!text.empty()) return text;
  for (const json& condition : conditions) {
    if (condition.value("type", "") == "Ready") return condition.value("message", "");
  }
  return {};
}

Row heading(const Kind& kind) {
  if (kind.word == "claim") return {"NAME", "STATUS", "INSTANCE TYPE", "ALLOCATED", "AGE", "ID"};
  if (kind.word == "gateway") return {"NAME", "STATUS", "ENDPOINT", "AGE", "ID"};
  return {"NAME", "STATUS", "MODEL", "ENGINE", "REPLICAS", "AGE", "ID"};
}

Row draw_row(const Kind& kind, const json& resource) {
  const json& spec = resource["spec"];
  const json& status = resource["status"];
  Row row{spec.value("name", ""), short_status(resource)};
  if (kind.word == "claim") {
    row.push_back(spec["resources"].value("instanceId", ""));
    row.push_back(fmt::format("{}/{}", status.value("allocatedInstances", 0),
                              spec["resources"].value("instanceCount", 0)));
  } else if (kind.word == "gateway") {
    const json endpoints = status.value("endpoints", json::array());
    row.push_back(endpoints.empty() ? "" : endpoints[0].get<std::string>());
  } else {
    row.push_back(spec["model"].value("name", ""));
    row.push_back(spec["runtime"].value("engine", "") + " " + spec["runtime"].value("version", ""));
    row.push_back(spec.value("disabled", false)
                      ? "disabled"
                      : fmt::format("{}-{}", spec["autoscaling"].value("min", 0),
                                    spec["autoscaling"].value("max", 0)));
  }
  row.push_back(age(status.value("createdAt", "")));
  row.push_back(spec.value("id", ""));
  return row;
}

class Command {
 public:
  Command(const Kind& kind, Flags flags, ApiClient& client, std::ostream& out, std::ostream& err)
      : kind_(kind), flags_(std::move(flags)), client_(client), out_(out), err_(err) {}

  Result<int> list() {
    TRY_ASSIGN(const json answer, client_.call("GET", kind_.collection));
    const json items = answer.value(kind_.list_member, json::array());
    if (flags_.is_json) {
      out_ << items.dump(2) << '\n';
      return 0;
    }
    std::vector<Row> rows{heading(kind_)};
    for (const json& item : items) rows.push_back(draw_row(kind_, item));
    print_table(out_, rows);
    return 0;
  }

  Result<int> get() {
    TRY_ASSIGN(const json resource, find());
    print(resource);
    return 0;
  }

  Result<int> create() {
    json body;
    if (!flags_.file.empty()) {
      TRY_ASSIGN(body, read_file(flags_.file));
    } else {
      TRY_ASSIGN(body, body_from_flags());
    }
    if (!flags_.id.empty()) body["id"] = flags_.id;
    TRY_ASSIGN(const json answer, client_.call("POST", kind_.collection, body));
    print(answer.at(kind_.member));
    return 0;
  }

  Result<int> update() {
    if (flags_.file.empty())
      return usage_error("update replaces the whole spec: give it with -f FILE");
    TRY_ASSIGN(const json body, read_file(flags_.file));
    TRY_ASSIGN(const std::string id, find_id());
    TRY_ASSIGN(const json answer, client_.call("PATCH", kind_.path_of(id), body));
    print(answer.at(kind_.member));
    return 0;
  }

  Result<int> remove() {
    TRY_ASSIGN(const std::string id, find_id());
    TRY_ASSIGN(const json answer, client_.call("DELETE", kind_.path_of(id)));
    print(answer.at(kind_.member));
    return 0;
  }

  Result<int> parameters() {
    TRY_ASSIGN(const json answer, client_.call("GET", kind_.path_of("parameters")));
    out_ << answer.dump(2) << '\n';
    return 0;
  }

  // Looks until the resource is ready, or gone; says whenever the reason for waiting changes.
  Result<int> wait() {
    TRY_ASSIGN(const std::string id, find_id());
    const SystemClock clock;
    const Instant due = clock.instant() + std::chrono::seconds{flags_.timeout_s};
    std::string said;
    while (true) {
      auto answer = client_.call("GET", kind_.path_of(id));
      const bool is_gone = !answer && answer.error().code == Code::not_found;
      if (is_gone && flags_.wait_for == "deleted") return 0;
      if (!answer) return std::move(answer).error();
      const json& resource = answer->at(kind_.member);
      const std::string status = short_status(resource);
      if (flags_.wait_for == "ready") {
        if (status == "READY") {
          print(resource);
          return 0;
        }
        if (status == "FAILED" || status == "DELETING") {
          err_ << fmt::format("{} is {}: {}\n", flags_.target, status, explanation(resource));
          return exit_refused;
        }
      }
      const std::string saying = fmt::format("{}: {}", status, explanation(resource));
      if (saying != said) err_ << saying << '\n';
      said = saying;
      if (clock.instant() >= due) {
        err_ << fmt::format("{} is not {} after {} s\n", flags_.target, flags_.wait_for,
                            flags_.timeout_s);
        return exit_timeout;
      }
      pause_for(std::chrono::milliseconds{250});
    }
  }

  // Why a deployment stands where it stands.
  Result<int> explain() {
    TRY_ASSIGN(const std::string id, find_id());
    TRY_ASSIGN(const json answer,
               client_.call("GET", "/staithe/v1/deployments/" + id + "/explanation"));
    const json explanation = answer.value("explanation", json::object());
    if (flags_.is_json) {
      out_ << explanation.dump(2) << '\n';
      return 0;
    }
    TRY_ASSIGN(const Names deployments, names_by_id(client_, deployment_kind));
    TRY_ASSIGN(const Names claims, names_by_id(client_, claim_kind));
    print_explanation(out_, explanation, deployments, claims);
    return 0;
  }

 private:
  Result<json> find() {
    TRY_ASSIGN(const std::string id, find_id());
    TRY_ASSIGN(const json answer, client_.call("GET", kind_.path_of(id)));
    return answer.at(kind_.member);
  }

  Result<std::string> find_id() { return cli::find_id(client_, kind_, flags_.target); }

  Result<json> body_from_flags() {
    if (flags_.name.empty()) return usage_error("give --name or -f FILE");
    json body{{"name", flags_.name}};
    if (kind_.word == "claim") {
      body["resources"] = {{"instanceId", flags_.instance_type},
                           {"instanceCount", flags_.count},
                           {"zones", flags_.zones},
                           {"capacityType", flags_.capacity_type}};
      return body;
    }
    if (kind_.word == "gateway") {
      body["zones"] = flags_.zones;
      body["coreWeaveAuth"] = json::object();
      if (flags_.routing == "header") {
        body["headerBasedRouting"] = {{"headerName", flags_.header_name}};
      } else if (flags_.routing == "path") {
        body["pathBasedRouting"] = json::object();
      } else {
        body["bodyBasedRouting"] = {{"apiType", "API_TYPE_OPENAI"}};
      }
      return body;
    }
    return deployment_body(std::move(body));
  }

  Result<json> deployment_body(json body) {
    body["gatewayIds"] = json::array();
    for (const std::string& gateway : flags_.gateways) {
      TRY_ASSIGN(const std::string id, cli::find_id(client_, gateway_kind, gateway));
      body["gatewayIds"].push_back(id);
    }
    TRY_ASSIGN(const json config, read_pairs(flags_.engine_config));
    TRY_ASSIGN(const json env, read_pairs(flags_.engine_env));
    if (flags_.version.empty()) {
      // The newest that is offered.
      TRY_ASSIGN(const json offer, client_.call("GET", deployment_kind.path_of("parameters")));
      const json versions = offer["runtimeParameters"]["runtimeVersions"];
      if (versions.contains(flags_.engine))
        flags_.version = versions[flags_.engine]["versions"].at(0);
    }
    body["runtime"] = {{"engine", flags_.engine},
                       {"version", flags_.version},
                       {"engineConfig", config},
                       {"engineEnv", env}};
    body["resources"] = {{"instanceType", flags_.instance_type}, {"gpuCount", flags_.gpu_count}};
    body["model"] = {{"name", flags_.model_name}, {"bucket", flags_.bucket}, {"path", flags_.path}};
    body["autoscaling"] = {{"min", flags_.min}, {"max", std::max(flags_.max, flags_.min)}};
    if (flags_.concurrency > 0) body["autoscaling"]["concurrency"] = flags_.concurrency;
    body["traffic"] = {{"weight", flags_.weight}};
    body["disabled"] = flags_.disabled;
    return body;
  }

  void print(const json& resource) {
    if (flags_.is_json) {
      out_ << resource.dump(2) << '\n';
      return;
    }
    print_table(out_, {heading(kind_), draw_row(kind_, resource)});
    if (short_status(resource) != "READY") {
      const std::string text = explanation(resource);
      if (!text.empty()) out_ << text << '\n';
    }
  }

  const Kind& kind_;
  Flags flags_;
  ApiClient& client_;
  std::ostream& out_;
  std::ostream& err_;
};

void add_create_flags(CLI::App& create, const Kind& kind, Flags& flags) {
  create.add_option("--id", flags.id, "a UUID of your own");
  create.add_option("--name", flags.name, "its name");
  create.add_option("-f,--file", flags.file, "the whole request as JSON; - for standard input");
  if (kind.word != "deployment")
    create.add_option("--zone", flags.zones, "zone, in order of preference; repeatable");
  if (kind.word != "gateway")
    create.add_option("--instance-type", flags.instance_type, "instance type");
  if (kind.word == "claim") {
    create.add_option("--count", flags.count, "instances to reserve")->capture_default_str();
    create.add_option("--capacity-type", flags.capacity_type)->capture_default_str();
  }
  if (kind.word == "gateway") {
    create.add_option("--routing", flags.routing, "body, header or path")
        ->check(CLI::IsMember({"body", "header", "path"}))
        ->capture_default_str();
    create.add_option("--header-name", flags.header_name, "for header routing")
        ->capture_default_str();
  }
  if (kind.word != "deployment") return;
  create.add_option("--gateway", flags.gateways,
                    "gateway that serves it, by name or id; repeatable");
  create.add_option("--engine", flags.engine, "engine");
  create.add_option("--version", flags.version, "its version; the newest unless told");
  create.add_option("--engine-config", flags.engine_config, "KEY=VALUE; repeatable");
  create.add_option("--engine-env", flags.engine_env, "KEY=VALUE; repeatable");
  create.add_option("--gpu-count", flags.gpu_count, "GPUs of a replica")->capture_default_str();
  create.add_option("--model-name", flags.model_name, "name clients ask for");
  create.add_option("--bucket", flags.bucket, "bucket of the weights");
  create.add_option("--path", flags.path, "directory in the bucket");
  create.add_option("--min", flags.min, "replicas that always run")->capture_default_str();
  create.add_option("--max", flags.max, "ceiling; as --min unless told");
  create.add_option("--concurrency", flags.concurrency, "requests per replica");
  create.add_option("--weight", flags.weight, "traffic weight among deployments of one model");
  create.add_flag("--disabled", flags.disabled, "keep it without running it");
}

}  // namespace

int run_resource_command(const Kind& kind, const std::vector<std::string>& arguments,
                         const std::map<std::string, std::string>& environment, std::ostream& out,
                         std::ostream& err) {
  Flags flags;
  CommandLine line(fmt::format("staithe {}", kind.word), "A client of the inference API.",
                   environment);
  line.app().require_subcommand(1);

  using Action = Result<int> (Command::*)();
  Action action = nullptr;
  const auto add = [&line, &action](const char* name, const char* help, Action what) {
    CLI::App* command = line.app().add_subcommand(name, help);
    command->callback([&action, what] { action = what; });
    return command;
  };
  add("list", "show all of them", &Command::list);
  add("parameters", "show what the server offers", &Command::parameters);
  add_create_flags(*add("create", "make one", &Command::create), kind, flags);
  CLI::App* get = add("get", "show one", &Command::get);
  CLI::App* update = add("update", "replace its spec with that of -f FILE", &Command::update);
  update->add_option("-f,--file", flags.file, "the whole request as JSON; - for standard input");
  CLI::App* remove = add("delete", "delete it", &Command::remove);
  CLI::App* wait = add("wait", "wait until it is ready or gone", &Command::wait);
  wait->add_option("--for", flags.wait_for, "ready or deleted")
      ->check(CLI::IsMember({"ready", "deleted"}))
      ->capture_default_str();
  wait->add_option("--timeout", flags.timeout_s, "seconds")->capture_default_str();
  std::vector<CLI::App*> with_target{get, update, remove, wait};
  if (kind.word == deployment_kind.word) {
    with_target.push_back(add("explain",
                              "say why it has the replicas it has, where they are, and what it "
                              "waits for",
                              &Command::explain));
  }
  for (CLI::App* command : with_target) {
    command->add_option("target", flags.target, "its name or id")->required();
  }
  return line.execute(arguments, out, err, [&](ApiClient& client) {
    flags.is_json = line.is_json();
    Command command(kind, flags, client, out, err);
    return (command.*action)();
  });
}

}  // namespace staithe::cli
