#include "cli/command_line.h"

#include <fmt/format.h>

#include <fstream>
#include <iostream>
#include <iterator>
#include <utility>

#include "cli/output.h"
#include "net/tls_context.h"

namespace staithe::cli {
namespace {

using nlohmann::json;

Result<std::string> read_token(const std::string& path) {
  std::ifstream file(path);
  std::string token;
  if (!(file >> token)) return usage_error("cannot read a token from " + path);
  return token;
}

}  // namespace

CommandLine::CommandLine(std::string name, std::string description,
                         const std::map<std::string, std::string>& environment)
    : name_(std::move(name)), app_(std::move(description)) {
  const auto from_environment = [&environment](const char* variable, std::string& value) {
    if (const auto found = environment.find(variable); found != environment.end()) {
      value = found->second;
    }
  };
  from_environment("STAITHE_SERVER", server_);
  from_environment("STAITHE_TOKEN", token_);
  from_environment("STAITHE_TOKEN_FILE", token_file_);
  from_environment("STAITHE_CA_FILE", ca_file_);

  app_.name(name_);
  app_.fallthrough();
  app_.add_option("--server", server_, "http://HOST:PORT or https://… (STAITHE_SERVER)")
      ->capture_default_str();
  app_.add_option("--token", token_, "API token (STAITHE_TOKEN)");
  app_.add_option("--token-file", token_file_, "file that holds it (STAITHE_TOKEN_FILE)");
  app_.add_option("--ca-file", ca_file_,
                  "PEM file of authorities to trust instead of the system's (STAITHE_CA_FILE)");
  app_.add_option("-o,--output", output_, "table or json")
      ->check(CLI::IsMember({"table", "json"}))
      ->capture_default_str();
}

std::optional<int> CommandLine::parse(const std::vector<std::string>& arguments, std::ostream& out,
                                      std::ostream& err) {
  try {
    app_.parse(std::vector<std::string>(arguments.rbegin(), arguments.rend()));
  } catch (const CLI::CallForHelp&) {
    out << app_.help();  // of the verb, if there is one
    return 0;
  } catch (const CLI::ParseError& error) {
    // It would say of an unknown verb that there is none.
    const bool is_unknown_verb = app_.get_require_subcommand_min() > 0 &&
                                 app_.get_subcommands().empty() && !app_.remaining().empty();
    const std::string what = is_unknown_verb
                                 ? fmt::format("there is no verb \"{}\"", app_.remaining().front())
                                 : error.what();
    err << fmt::format("{}: {}; see {} --help\n", name_, what, name_);
    return exit_usage;
  }
  return std::nullopt;
}

Result<ApiClient> CommandLine::connect() const {
  TRY_ASSIGN(Server server, parse_server(server_));
  server.token = token_;
  if (!token_file_.empty()) {
    TRY_ASSIGN(server.token, read_token(token_file_));
  }
  std::shared_ptr<const net::TlsClientContext> tls;
  if (server.is_secure) {
    TRY_ASSIGN(tls, net::TlsClientContext::load(ca_file_));
  }
  return ApiClient(std::move(server), std::move(tls));
}

int CommandLine::execute(const std::vector<std::string>& arguments, std::ostream& out,
                         std::ostream& err, const std::function<Result<int>(ApiClient&)>& run) {
  if (const auto code = parse(arguments, out, err)) return *code;
  auto client = connect();
  if (!client) {
    err << fmt::format("{}: {}\n", name_, client.error().message);
    return exit_usage;
  }
  const Result<int> outcome = run(*client);
  if (outcome) return *outcome;
  print_error(err, outcome.error());
  return outcome.error().reason == "USAGE" ? exit_usage : exit_refused;
}

Result<json> read_file(const std::string& path) {
  std::string text;
  if (path == "-") {
    text.assign(std::istreambuf_iterator<char>(std::cin), {});
  } else {
    std::ifstream file(path);
    if (!file) return usage_error("cannot read " + path);
    text.assign(std::istreambuf_iterator<char>(file), {});
  }
  json body = json::parse(text, nullptr, false);
  if (!body.is_object()) return usage_error(path + " does not hold a JSON object");
  return body;
}

}  // namespace staithe::cli
