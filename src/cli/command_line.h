#pragma once

#include <CLI/CLI.hpp>

#include <functional>
#include <map>
#include <optional>
#include <ostream>
#include <string>
#include <vector>

#include "base/result.h"
#include "cli/api_client.h"

namespace staithe::cli {

// What every command of the client has in common: where the server is, who asks, and in which form
// the answer is printed.
class CommandLine {
 public:
  // `name` is what was typed: "staithe node".
  CommandLine(std::string name, std::string description,
              const std::map<std::string, std::string>& environment);

  // For the command's own verbs and options.
  CLI::App& app() { return app_; }
  bool is_json() const { return output_ == "json"; }

  // Reads `arguments`, those after the name, connects and runs what `run` does with the connection.
  // Returns the exit code.
  int execute(const std::vector<std::string>& arguments, std::ostream& out, std::ostream& err,
              const std::function<Result<int>(ApiClient&)>& run);

 private:
  std::optional<int> parse(const std::vector<std::string>& arguments, std::ostream& out,
                           std::ostream& err);
  Result<ApiClient> connect() const;

  const std::string name_;
  CLI::App app_;
  std::string server_ = "http://127.0.0.1:8080";
  std::string token_;
  std::string token_file_;
  std::string ca_file_;
  std::string output_ = "table";
};

// The JSON object in a file; "-" is standard input.
Result<nlohmann::json> read_file(const std::string& path);

}  // namespace staithe::cli
