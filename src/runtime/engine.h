#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "model/catalogue.h"

namespace staithe::runtime {

// How an inference engine is started and asked whether it serves. Engines are data: a new one is a
// table in the configuration, never code.
//
// The command is an argument vector; no shell ever reads it. Within an argument `{host}`, `{port}`,
// `{model_name}`, `{model_dir}`, `{model_file}`, `{concurrency}`, `{gpus}` and `{version}` are
// replaced; an argument that is exactly `{config}` becomes the flags of the engine configuration.
struct Engine {
  std::string name;
  std::vector<std::string> versions;  // newest first
  std::vector<std::string> allowed_keys;
  std::vector<std::string> allowed_env_names;
  std::uint32_t default_concurrency = 16;
  bool spans_nodes = false;
  bool needs_weights = true;

  std::vector<std::string> command;  // [0]: a program looked up on the search path, or its path
  // What `{config}` says where a deployment's engineConfig does not; values may use placeholders.
  std::map<std::string, std::string> default_config;
  std::set<std::string> flags;            // keys without a value: "true" gives `--key`
  std::set<std::string> negatable_flags;  // those of them for which "false" gives `--no-key`
  std::map<std::string, std::string> env;

  std::string health_path = "/health";
  // A model list that must name the served model before the engine counts as ready; empty: the
  // health path alone decides.
  std::string ready_path = "/v1/models";
  std::string metrics_path = "/metrics";

  bool operator==(const Engine&) const = default;
};

// The engine as the API advertises and validates it.
model::EngineOffer make_offer(const Engine& engine);

// The same engine for clients (name, versions, allowed keys), run by the simulated engine of
// `self_path`, our own executable: no weights, and the engine configuration is accepted and left
// unused.
Engine as_simulated(Engine engine, std::string_view self_path);

// What the placeholders of a command stand for.
struct CommandValues {
  std::string host;
  std::uint16_t port = 0;
  std::string model_name;
  std::string model_dir;
  std::string model_file;
  std::string version;
  std::uint32_t concurrency = 0;  // 0: the engine's default
  std::uint32_t gpus = 0;
};

// True when the command or its default configuration has `placeholder`, written with its braces.
bool uses_placeholder(const Engine& engine, std::string_view placeholder);

// The argument vector. INVALID_ARGUMENT, with the key in the message, for a configuration that the
// engine does not take: a key that is not advertised, or a value that could be read as another
// option.
Result<std::vector<std::string>> make_command(
    const Engine& engine, const CommandValues& values,
    const std::map<std::string, std::string>& engine_config);

// INVALID_ARGUMENT for a variable that the engine does not advertise.
Result<void> check_engine_env(const Engine& engine,
                              const std::map<std::string, std::string>& engine_env);

// The absolute path of an executable file: `program` itself when it has a slash, else the first
// match on `search_path` (colon-separated, as in $PATH; empty and relative entries are skipped).
// NOT_FOUND names the program and where it was looked for.
Result<std::string> find_program(std::string_view program, std::string_view search_path);

}  // namespace staithe::runtime
