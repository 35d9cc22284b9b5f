#include "cli/usage_command.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/clock.h"
#include "base/encoding.h"
#include "base/time_text.h"
#include "cli/command_line.h"
#include "cli/output.h"
#include "cli/resources.h"

namespace staithe::cli {
namespace {

using nlohmann::json;

// What the sums can be kept apart by, in the order of the columns.
struct Grouping {
  const char* word;  // on the command line
  const char* heading;
  const char* member;  // of a sum
};
constexpr std::array groupings{Grouping{"hour", "HOUR", "periodStart"},
                               Grouping{"day", "DAY", "periodStart"},
                               Grouping{"organization", "ORG", "organizationId"},
                               Grouping{"token", "TOKEN", "tokenId"},
                               Grouping{"deployment", "DEPLOYMENT", "deploymentId"},
                               Grouping{"model", "MODEL", "model"}};

struct Flags {
  bool is_json = false;
  std::vector<std::string> by;
  std::string since;
  std::string until;
  std::string organization;
  std::string token_id;
  std::string deployment;
  std::string model;

  bool is_by(std::string_view word) const { return std::count(by.begin(), by.end(), word) > 0; }
};

// A moment as the API writes it: "90m", "24h" and "7d" are so long ago, "2026-01-31" is when that
// day begins (UTC), and the rest is what the API makes of it.
Result<std::string> moment_of(const std::string& text) {
  const bool is_ago = text.size() > 1 &&
                      std::string_view("mhd").find(text.back()) != std::string_view::npos &&
                      text.find_first_not_of("0123456789") == text.size() - 1;
  if (is_ago) {
    constexpr std::size_t digits_max = 6;
    if (text.size() - 1 > digits_max) return usage_error(text + " is too long ago");
    const std::int64_t count = std::stoll(text);
    const std::chrono::minutes ago{text.back() == 'm'   ? count
                                   : text.back() == 'h' ? count * 60
                                                        : count * 60 * 24};
    return format_timestamp(SystemClock{}.now() - ago);
  }
  constexpr std::size_t date_length = 10;
  return text.size() == date_length ? text + "T00:00:00Z" : text;
}

// 64-bit numbers are strings in the API's JSON.
std::string count_of(const json& usage, const char* member) {
  const std::string text = text_of(usage, member);
  return text.empty() ? "0" : text;
}

class UsageCommand {
 public:
  UsageCommand(ApiClient& client, Flags flags, std::ostream& out, std::ostream& err)
      : client_(client), flags_(std::move(flags)), out_(out), err_(err) {}

  Result<int> run() {
    if (flags_.is_by("hour") && flags_.is_by("day")) {
      return usage_error("--by takes hour or day, not both");
    }
    TRY_ASSIGN(const std::string query, make_query());
    TRY_ASSIGN(const json answer, client_.call("GET", "/staithe/v1/usage" + query));
    if (flag_of(answer, "isCut")) {
      err_ << "there is more than is shown; ask for less with --since, --until or fewer --by\n";
    }
    const json sums = list_of(answer, "usage");
    if (flags_.is_json) {
      out_ << sums.dump(2) << '\n';
      return 0;
    }
    return print(sums);
  }

 private:
  Result<std::string> make_query() {
    std::string query;
    const auto narrow = [&query](const char* name, const std::string& value) {
      if (value.empty()) return;
      query += fmt::format("{}{}={}", query.empty() ? "?" : "&", name, percent_encode(value));
    };
    if (!flags_.since.empty()) {
      TRY_ASSIGN(const std::string since, moment_of(flags_.since));
      narrow("since", since);
    }
    if (!flags_.until.empty()) {
      TRY_ASSIGN(const std::string until, moment_of(flags_.until));
      narrow("until", until);
    }
    narrow("organizationId", flags_.organization);
    narrow("tokenId", flags_.token_id);
    narrow("model", flags_.model);
    if (!flags_.deployment.empty()) {
      TRY_ASSIGN(const std::string id, find_id(client_, deployment_kind, flags_.deployment));
      narrow("deploymentId", id);
    }
    for (const std::string& word : flags_.by) {
      narrow("groupBy", "USAGE_GROUPING_" + to_upper(word));
    }
    return query;
  }

  Result<int> print(const json& sums) {
    Names deployments;
    if (flags_.is_by("deployment")) {
      TRY_ASSIGN(deployments, names_by_id(client_, deployment_kind));
    }
    std::vector<Row> rows{{}};
    for (const Grouping& grouping : groupings) {
      if (flags_.is_by(grouping.word)) rows.front().emplace_back(grouping.heading);
    }
    for (const char* heading :
         {"REQUESTS", "ABORTED", "FAILED", "ESTIMATED", "PROMPT", "CACHED", "COMPLETION"}) {
      rows.front().emplace_back(heading);
    }
    for (const json& sum : sums) rows.push_back(row_of(sum, deployments));
    print_table(out_, rows);
    return 0;
  }

  Row row_of(const json& sum, const Names& deployments) {
    Row row;
    for (const Grouping& grouping : groupings) {
      if (!flags_.is_by(grouping.word)) continue;
      std::string text = text_of(sum, grouping.member);
      if (const auto name = deployments.find(text); name != deployments.end()) text = name->second;
      row.push_back(text.empty() ? "-" : text);
    }
    for (const char* member : {"requests", "aborted", "failed", "estimated", "promptTokens",
                               "cachedTokens", "completionTokens"}) {
      row.push_back(count_of(sum, member));
    }
    return row;
  }

  ApiClient& client_;
  const Flags flags_;
  std::ostream& out_;
  std::ostream& err_;
};

}  // namespace

int run_usage_command(const std::vector<std::string>& arguments,
                      const std::map<std::string, std::string>& environment, std::ostream& out,
                      std::ostream& err) {
  Flags flags;
  CommandLine line("staithe usage", "Says who used how many requests and tokens.", environment);
  std::vector<std::string> words;
  for (const Grouping& grouping : groupings) words.emplace_back(grouping.word);
  line.app()
      .add_option("--by", flags.by,
                  "keep apart by hour, day, organization, token, deployment or model; several with "
                  "commas")
      ->delimiter(',')
      ->check(CLI::IsMember(words));
  line.app().add_option("--since", flags.since,
                        "from hours that began then: 24h, 7d (ago), 2026-01-31 or a time");
  line.app().add_option("--until", flags.until, "to hours that began before then");
  line.app().add_option("--organization", flags.organization, "of this organization alone");
  line.app().add_option("--token-id", flags.token_id, "of this token alone");
  line.app().add_option("--deployment", flags.deployment, "of this deployment, by name or id");
  line.app().add_option("--model", flags.model, "of this model alone");
  return line.execute(arguments, out, err, [&](ApiClient& client) {
    flags.is_json = line.is_json();
    return UsageCommand(client, flags, out, err).run();
  });
}

}  // namespace staithe::cli
