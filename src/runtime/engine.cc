#include "runtime/engine.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <filesystem>
#include <iterator>
#include <system_error>
#include <utility>

namespace staithe::runtime {
namespace {

constexpr std::string_view config_argument = "{config}";

Error config_error(std::string message) {
  return Error{.code = Code::invalid_argument, .message = std::move(message)};
}

bool contains(const std::vector<std::string>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

// In one pass, so that braces within a value stay what they are.
std::string fill_in(std::string_view text, const Engine& engine, const CommandValues& values) {
  const std::uint32_t concurrency =
      values.concurrency == 0 ? engine.default_concurrency : values.concurrency;
  const std::pair<std::string_view, std::string> placeholders[] = {
      {"{host}", values.host},
      {"{port}", std::to_string(values.port)},
      {"{concurrency}", std::to_string(concurrency)},
      {"{gpus}", std::to_string(std::max<std::uint32_t>(values.gpus, 1))},
      {"{version}", values.version},
      {"{model_name}", values.model_name},
      {"{model_dir}", values.model_dir},
      {"{model_file}", values.model_file},
  };
  std::string filled;
  while (!text.empty()) {
    const auto* const here =
        std::find_if(std::begin(placeholders), std::end(placeholders),
                     [text](const auto& entry) { return text.starts_with(entry.first); });
    if (here != std::end(placeholders)) {
      filled += here->second;
      text.remove_prefix(here->first.size());
    } else {
      filled += text.front();
      text.remove_prefix(1);
    }
  }
  return filled;
}

bool is_number(std::string_view text) {
  double value = 0;
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), value);
  return problem == std::errc{} && end == text.data() + text.size();
}

// A value follows its key as an argument of its own. One that starts with a dash would be read as
// the next option by most engines, which lets a tenant set options that are not advertised.
Result<void> check_value(std::string_view key, std::string_view value) {
  const bool has_control = std::any_of(value.begin(), value.end(), [](char letter) {
    return static_cast<unsigned char>(letter) < 0x20 || letter == 0x7f;
  });
  if (has_control) {
    return config_error(fmt::format("engineConfig[{}] must not contain control characters", key));
  }
  if (value.starts_with('-') && !is_number(value)) {
    return config_error(
        fmt::format("engineConfig[{}] must not start with '-' unless it is a number", key));
  }
  return {};
}

Result<void> append_flag(const Engine& engine, const std::string& key, const std::string& value,
                         std::vector<std::string>& arguments) {
  if (!engine.flags.contains(key)) {
    TRY(check_value(key, value));
    arguments.push_back("--" + key);
    if (!value.empty()) arguments.push_back(value);
    return {};
  }
  if (value.empty() || value == "true") {
    arguments.push_back("--" + key);
  } else if (value != "false") {
    return config_error(fmt::format("engineConfig[{}] must be true or false", key));
  } else if (engine.negatable_flags.contains(key)) {
    arguments.push_back("--no-" + key);
  }
  return {};
}

Result<std::string> check_executable(const std::string& path) {
  struct stat status{};
  if (::stat(path.c_str(), &status) != 0 || !S_ISREG(status.st_mode)) {
    return Error{.code = Code::not_found, .message = fmt::format("no program at {}", path)};
  }
  if (::access(path.c_str(), X_OK) != 0) {
    return Error{.code = Code::permission_denied,
                 .message = fmt::format("{} is not executable", path)};
  }
  std::error_code problem;
  const auto absolute = std::filesystem::absolute(path, problem);
  return problem ? path : absolute.string();
}

}  // namespace

model::EngineOffer make_offer(const Engine& engine) {
  return {.versions = engine.versions,
          .allowed_keys = engine.allowed_keys,
          .allowed_env_names = engine.allowed_env_names,
          .default_concurrency = engine.default_concurrency,
          .spans_nodes = engine.spans_nodes};
}

Engine as_simulated(Engine engine, std::string_view self_path) {
  engine.command = {std::string(self_path),
                    "engine",
                    "simulate",
                    "--host",
                    "{host}",
                    "--port",
                    "{port}",
                    "--model",
                    "{model_name}"};
  engine.default_config.clear();
  engine.env.clear();
  engine.needs_weights = false;
  engine.health_path = "/health";
  engine.ready_path = "/v1/models";
  engine.metrics_path = "/metrics";
  return engine;
}

bool uses_placeholder(const Engine& engine, std::string_view placeholder) {
  const auto mentions = [placeholder](const std::string& text) {
    return text.find(placeholder) != std::string::npos;
  };
  return std::any_of(engine.command.begin(), engine.command.end(), mentions) ||
         std::any_of(engine.default_config.begin(), engine.default_config.end(),
                     [&mentions](const auto& entry) { return mentions(entry.second); });
}

Result<std::vector<std::string>> make_command(
    const Engine& engine, const CommandValues& values,
    const std::map<std::string, std::string>& engine_config) {
  if (values.model_name.starts_with('-')) {
    return config_error("model.name must not start with '-'");
  }
  for (const auto& [key, value] : engine_config) {
    if (!contains(engine.allowed_keys, key)) {
      return config_error(
          fmt::format("engineConfig[{}] is not a key that engine {} takes", key, engine.name));
    }
  }
  auto config = engine_config;
  for (const auto& [key, value] : engine.default_config) {
    config.try_emplace(key, fill_in(value, engine, values));
  }

  std::vector<std::string> arguments;
  for (const std::string& argument : engine.command) {
    if (argument != config_argument) {
      arguments.push_back(fill_in(argument, engine, values));
      continue;
    }
    for (const auto& [key, value] : config) TRY(append_flag(engine, key, value, arguments));
  }
  if (arguments.empty()) return config_error(fmt::format("engine {} has no command", engine.name));
  return arguments;
}

Result<void> check_engine_env(const Engine& engine,
                              const std::map<std::string, std::string>& engine_env) {
  for (const auto& [name, value] : engine_env) {
    if (!contains(engine.allowed_env_names, name)) {
      return config_error(
          fmt::format("engineEnv[{}] is not a variable that engine {} takes", name, engine.name));
    }
    if (value.find('\0') != std::string::npos) {
      return config_error(fmt::format("engineEnv[{}] must not contain a zero byte", name));
    }
  }
  return {};
}

Result<std::string> find_program(std::string_view program, std::string_view search_path) {
  if (program.find('/') != std::string_view::npos) return check_executable(std::string(program));
  for (std::size_t begin = 0; !program.empty() && begin <= search_path.size();) {
    const std::size_t end = std::min(search_path.find(':', begin), search_path.size());
    const std::string_view folder = search_path.substr(begin, end - begin);
    begin = end + 1;
    if (!folder.starts_with('/')) continue;
    auto found = check_executable(fmt::format("{}/{}", folder, program));
    if (found.has_value()) return found;
  }
  return Error{.code = Code::not_found,
               .message = fmt::format("no program {} on the search path {}", program, search_path)};
}

}  // namespace staithe::runtime
