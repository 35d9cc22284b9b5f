#include "cli/limit_command.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <utility>

#include "base/encoding.h"
#include "cli/command_line.h"
#include "cli/output.h"

namespace staithe::cli {
namespace {

using nlohmann::json;

constexpr const char* collection = "/staithe/v1/limits";

struct Flags {
  bool is_json = false;
  std::string id;
  std::string organization;
  std::string token_id;
  std::uint32_t requests_per_minute = 0;
  std::uint32_t tokens_per_minute = 0;
  std::uint32_t parallel_requests = 0;
  std::vector<std::string> models;
};

std::string shown(std::uint64_t number) {
  return number == 0 ? "-" : std::to_string(number);
}

Row row_of(const json& limit) {
  std::string models;
  for (const json& model : list_of(limit, "models")) {
    models += (models.empty() ? "" : ", ") + model.get<std::string>();
  }
  return {text_of(limit, "id"), shown(number_of(limit, "requestsPerMinute")),
          shown(number_of(limit, "tokensPerMinute")), shown(number_of(limit, "parallelRequests")),
          models.empty() ? "all" : models};
}

class LimitCommand {
 public:
  LimitCommand(ApiClient& client, Flags flags, std::ostream& out)
      : client_(client), flags_(std::move(flags)), out_(out) {}

  Result<int> list() {
    const std::string query =
        flags_.organization.empty() ? "" : "?organizationId=" + percent_encode(flags_.organization);
    TRY_ASSIGN(const json answer, client_.call("GET", collection + query));
    return print(list_of(answer, "limits"));
  }

  Result<int> get() { return print_one(client_.call("GET", path())); }

  Result<int> set() {
    json body{{"requestsPerMinute", flags_.requests_per_minute},
              {"tokensPerMinute", flags_.tokens_per_minute},
              {"parallelRequests", flags_.parallel_requests},
              {"models", flags_.models}};
    if (!flags_.organization.empty()) body["organizationId"] = flags_.organization;
    if (!flags_.token_id.empty()) body["tokenId"] = flags_.token_id;
    return print_one(client_.call("POST", collection, body));
  }

  Result<int> remove() {
    TRY_ASSIGN(const json answer, client_.call("DELETE", path()));
    if (flags_.is_json) return print_one(answer);
    out_ << fmt::format("{} is no longer limited by itself.\n", flags_.id);
    return 0;
  }

 private:
  std::string path() const { return fmt::format("{}/{}", collection, percent_encode(flags_.id)); }

  Result<int> print_one(Result<json> answer) {
    TRY_ASSIGN(const json whole, std::move(answer));
    const json limit = whole.value("limit", json::object());
    if (!flags_.is_json) return print(json::array({limit}));
    out_ << limit.dump(2) << '\n';
    return 0;
  }

  Result<int> print(const json& limits) {
    if (flags_.is_json) {
      out_ << limits.dump(2) << '\n';
      return 0;
    }
    std::vector<Row> rows{{"LIMIT", "REQUESTS/MIN", "TOKENS/MIN", "PARALLEL", "MODELS"}};
    for (const json& limit : limits) rows.push_back(row_of(limit));
    print_table(out_, rows);
    return 0;
  }

  ApiClient& client_;
  const Flags flags_;
  std::ostream& out_;
};

}  // namespace

int run_limit_command(const std::vector<std::string>& arguments,
                      const std::map<std::string, std::string>& environment, std::ostream& out,
                      std::ostream& err) {
  Flags flags;
  CommandLine line("staithe limit", "Says how much organizations and tokens may use.", environment);
  line.app().require_subcommand(1);

  using Action = Result<int> (LimitCommand::*)();
  Action action = nullptr;
  const auto add = [&line, &action](const char* name, const char* help, Action what) {
    CLI::App* command = line.app().add_subcommand(name, help);
    command->callback([&action, what] { action = what; });
    return command;
  };
  CLI::App* list = add("list", "show what was set", &LimitCommand::list);
  CLI::App* get = add("get", "show one", &LimitCommand::get);
  CLI::App* set = add("set", "limit an organization, or one of its tokens", &LimitCommand::set);
  for (CLI::App* command : {list, set}) {
    command->add_option("--organization", flags.organization, "whose; your own unless told");
  }
  set->add_option(
      "--token-id", flags.token_id,
      "the token's id (staithe token list), or wandb:OWNER; without it the organization "
      "is limited");
  set->add_option("--requests-per-minute", flags.requests_per_minute, "0: no limit")
      ->capture_default_str();
  set->add_option("--tokens-per-minute", flags.tokens_per_minute,
                  "of prompts and answers; 0: no limit")
      ->capture_default_str();
  set->add_option("--parallel-requests", flags.parallel_requests, "0: no limit")
      ->capture_default_str();
  set->add_option("--model", flags.models, "that the token may call; repeatable; all unless told");
  CLI::App* remove = add("delete", "let the server's defaults hold again", &LimitCommand::remove);
  for (CLI::App* command : {get, remove}) {
    command->add_option("id", flags.id, "ORGANIZATION, or ORGANIZATION:TOKEN_ID")->required();
  }
  return line.execute(arguments, out, err, [&](ApiClient& client) {
    flags.is_json = line.is_json();
    LimitCommand command(client, flags, out);
    return (command.*action)();
  });
}

}  // namespace staithe::cli
