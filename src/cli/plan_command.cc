#include "cli/plan_command.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/encoding.h"
#include "cli/command_line.h"
#include "cli/insight_text.h"
#include "cli/output.h"
#include "cli/resources.h"

namespace staithe::cli {
namespace {

using nlohmann::json;

// A file that `get -o json` wrote holds the spec beside the status.
json request_in(json document) {
  if (document.contains("spec") && document["spec"].is_object()) return document["spec"];
  return document;
}

// What a request is about is told by members that only one kind has.
Result<const Kind*> kind_of_request(const json& request, const std::string& file) {
  for (const char* member : {"runtime", "model", "autoscaling", "gatewayIds", "gateway_ids"}) {
    if (request.contains(member)) return &deployment_kind;
  }
  if (const auto resources = request.find("resources");
      resources != request.end() && resources->is_object()) {
    for (const char* member : {"instanceId", "instance_id", "instanceCount", "instance_count"}) {
      if (resources->contains(member)) return &claim_kind;
    }
  }
  return usage_error(file + " is neither a claim nor a deployment");
}

class PlanCommand {
 public:
  PlanCommand(ApiClient& client, std::ostream& out) : client_(client), out_(out) {}

  Result<int> run(const std::string& file, bool is_json) {
    TRY_ASSIGN(json document, read_file(file));
    const json request = request_in(std::move(document));
    TRY_ASSIGN(const Kind* kind, kind_of_request(request, file));
    TRY_ASSIGN(const bool is_update, exists(*kind, request));
    const json body{{is_update ? "update" : "create", request}};
    const std::string path = fmt::format(
        "/staithe/v1/plans/{}", kind->word == claim_kind.word ? "capacityclaim" : "deployment");
    TRY_ASSIGN(const json answer, client_.call("POST", path, body));
    const json plan = answer.value("plan", json::object());
    if (is_json) {
      out_ << plan.dump(2) << '\n';
      return 0;
    }
    TRY_ASSIGN(const Names claims, names_by_id(client_, claim_kind));
    print_plan(out_, plan, subject_of(*kind, request, is_update), text_of(request, "id"), claims);
    return 0;
  }

 private:
  // An id may also be one of the caller's choice for something new.
  Result<bool> exists(const Kind& kind, const json& request) {
    const std::string id = text_of(request, "id");
    if (id.empty()) return false;
    const auto found = client_.call("GET", kind.path_of(percent_encode(id)));
    if (found) return true;
    const Code code = found.error().code;
    // A bad id is for the plan to refuse.
    if (code == Code::not_found || code == Code::invalid_argument) return false;
    return found.error();
  }

  static std::string subject_of(const Kind& kind, const json& request, bool is_update) {
    const std::string name = text_of(request, "name");
    return fmt::format("{} {} {}", is_update ? "updating" : "creating", kind.word,
                       name.empty() ? text_of(request, "id") : name);
  }

  ApiClient& client_;
  std::ostream& out_;
};

}  // namespace

int run_plan_command(const std::vector<std::string>& arguments,
                     const std::map<std::string, std::string>& environment, std::ostream& out,
                     std::ostream& err) {
  CommandLine line("staithe plan",
                   "Says what creating or updating a claim or a deployment would do, and does "
                   "nothing. Refused (exit code 1) for the reasons the real call would be.",
                   environment);
  std::string file;
  line.app()
      .add_option("-f,--file", file,
                  "the request as JSON, - for standard input: that of create; with the id of "
                  "something that exists, that of update")
      ->required();
  return line.execute(arguments, out, err, [&](ApiClient& client) {
    return PlanCommand(client, out).run(file, line.is_json());
  });
}

}  // namespace staithe::cli
