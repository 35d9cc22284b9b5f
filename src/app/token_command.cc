#include "app/token_command.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "auth/token_record.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/random.h"
#include "base/time_text.h"
#include "store/sqlite/sqlite_store.h"

namespace staithe::app {
namespace {

struct Options {
  std::string data = "./staithe-data";
  std::string name;
  std::string organization = "cw0000";
  std::string role = "viewer";
  std::int64_t days = 0;
  std::string id;
  std::string output = "table";
};

class Tokens {
 public:
  Tokens(store::Store& store, const Clock& clock, Random& random, std::ostream& out)
      : store_(store), clock_(clock), random_(random), out_(out) {}

  Result<void> create(const Options& options) {
    if (!auth::is_organization_id(options.organization)) {
      return Error{.code = Code::invalid_argument,
                   .message = "--org must look like cw1a2b (cw and four hex digits)"};
    }
    const std::string text = auth::make_token_text(random_);
    auth::Token token;
    token.id = random_.uuid();
    token.name = options.name;
    token.hash = auth::hash_token(text);
    token.organization = options.organization;
    TRY_ASSIGN(token.role, auth::parse_role(options.role));
    token.created_at = clock_.now();
    if (options.days > 0) token.expires_at = token.created_at + std::chrono::days{options.days};
    TRY(store_.commit_and_wait({store::Create{.kind = store::Kind::token,
                                              .id = token.id,
                                              .organization = token.organization,
                                              .spec = auth::encode_token(token),
                                              .status = {},
                                              .created_at = token.created_at,
                                              .keys = {}}}));
    if (options.output == "json") {
      out_ << nlohmann::json{{"id", token.id},
                             {"token", text},
                             {"organization", token.organization},
                             {"role", auth::role_name(token.role)}}
                  .dump(2)
           << '\n';
    } else {
      out_ << text << '\n';
    }
    return {};
  }

  Result<void> list(const Options& options) {
    TRY_ASSIGN(const auto records, store_.list(store::Kind::token));
    nlohmann::json all = nlohmann::json::array();
    if (options.output != "json") {
      out_ << fmt::format("{:<36}  {:<20}  {:<6}  {:<6}  {}\n", "ID", "NAME", "ORG", "ROLE",
                          "EXPIRES");
    }
    for (const store::Record& record : records) {
      TRY_ASSIGN(const auth::Token token, auth::decode_token(record.spec));
      const std::string expires = token.expires_at ? format_timestamp(*token.expires_at) : "never";
      if (options.output == "json") {
        all.push_back({{"id", token.id},
                       {"name", token.name},
                       {"organization", token.organization},
                       {"role", auth::role_name(token.role)},
                       {"expires", expires}});
      } else {
        out_ << fmt::format("{:<36}  {:<20}  {:<6}  {:<6}  {}\n", token.id, token.name,
                            token.organization, auth::role_name(token.role), expires);
      }
    }
    if (options.output == "json") out_ << all.dump(2) << '\n';
    return {};
  }

  Result<void> revoke(const Options& options) {
    TRY_ASSIGN(const auto record, store_.get(store::Kind::token, options.id));
    if (!record) {
      return Error{
          .code = Code::not_found,
          .message = "no token has the id " + options.id + "; staithe token list shows them"};
    }
    TRY(store_.commit_and_wait(
        {store::Remove{.kind = store::Kind::token, .id = options.id, .version = record->version}}));
    out_ << "revoked " << options.id << '\n';
    return {};
  }

 private:
  store::Store& store_;
  const Clock& clock_;
  Random& random_;
  std::ostream& out_;
};

}  // namespace

int run_token_command(const std::vector<std::string>& arguments, const Environment& environment,
                      std::ostream& out, std::ostream& err) {
  Options options;
  if (const auto found = environment.find("STAITHE_DATA"); found != environment.end()) {
    options.data = found->second;
  }
  CLI::App app{"Makes, lists and revokes the tokens that clients authenticate with."};
  app.name("staithe token");
  app.require_subcommand(1);
  app.add_option("--data", options.data, "data directory of the server")->capture_default_str();
  app.add_option("-o,--output", options.output, "table or json")
      ->check(CLI::IsMember({"table", "json"}));
  app.fallthrough();
  CLI::App* create = app.add_subcommand("create", "make a token and print it, once");
  create->add_option("--name", options.name, "what it is for")->required();
  create->add_option("--org", options.organization, "organization it belongs to")
      ->capture_default_str();
  create->add_option("--role", options.role, "viewer or admin")->capture_default_str();
  create->add_option("--days", options.days, "days until it expires; 0: never");
  CLI::App* list = app.add_subcommand("list", "show the tokens there are, without their text");
  CLI::App* revoke = app.add_subcommand("revoke", "make a token worthless at once");
  revoke->add_option("id", options.id, "id of the token")->required();
  try {
    app.parse(std::vector<std::string>(arguments.rbegin(), arguments.rend()));
  } catch (const CLI::CallForHelp&) {
    out << app.help();
    return 0;
  } catch (const CLI::ParseError& error) {
    err << "staithe token: " << error.what() << "; see staithe token --help\n";
    return 2;
  }

  const std::string path = options.data + "/staithe.db";
  if (!std::filesystem::exists(path)) {
    err << "staithe token: there is no database at " << path
        << "; name the server's data directory with --data\n";
    return 2;
  }
  SystemClock clock;
  SystemRandom random;
  Log log(2, LogLevel::warning);
  auto store = store::open_sqlite_store(path, {.is_owner = false}, clock, log);
  if (!store) {
    err << "staithe token: " << store.error().message << '\n';
    return 1;
  }
  Tokens tokens(**store, clock, random, out);
  const Result<void> done = create->parsed()   ? tokens.create(options)
                            : revoke->parsed() ? tokens.revoke(options)
                                               : tokens.list(options);
  (void)list;
  if (done) return 0;
  err << "staithe token: " << done.error().message << '\n';
  return done.error().code == Code::invalid_argument ? 2 : 1;
}

}  // namespace staithe::app
