#include "runtime/engine_catalogue.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <toml++/toml.h>
#include <array>
#include <functional>
#include <optional>
#include <utility>

namespace staithe::runtime {
namespace {

constexpr std::string_view config_argument = "{config}";

Engine vllm() {
  return {
      .name = "vllm",
      .versions = {"0.22.0+crwv.2", "0.8.5"},
      .allowed_keys = {"dtype", "enable-prefix-caching", "gpu-memory-utilization", "max-model-len",
                       "max-num-seqs", "quantization", "tensor-parallel-size"},
      .allowed_env_names = {"VLLM_LOGGING_LEVEL", "VLLM_USE_FLASHINFER_MOE_FP4"},
      .command = {"vllm", "serve", "{model_dir}", "--served-model-name", "{model_name}", "--host",
                  "{host}", "--port", "{port}", "{config}"},
      .default_config = {{"max-num-seqs", "{concurrency}"}, {"tensor-parallel-size", "{gpus}"}},
      .flags = {"enable-prefix-caching"},
      .negatable_flags = {"enable-prefix-caching"},
  };
}

// Dynamo serves with a frontend and a worker. `dynamo-vllm` is a launcher of both that takes the
// arguments of `vllm serve`; whoever installs Dynamo supplies it, or sets `command`.
Engine dynamo_vllm() {
  Engine engine = vllm();
  engine.name = "dynamo-vllm";
  engine.command = {"dynamo-vllm",  "{model_dir}", "--served-model-name",
                    "{model_name}", "--host",      "{host}",
                    "--port",       "{port}",      "{config}"};
  return engine;
}

// One thread by default: the workers of llama.cpp spin, and more of them than free cores make it
// many times slower. `ctx-size` is shared by the `parallel` slots.
Engine llama_cpp() {
  return {
      .name = "llama.cpp",
      .versions = {"1.0.0"},
      .allowed_keys = {"batch-size", "cache-type-k", "cache-type-v", "ctx-size", "flash-attn",
                       "main-gpu", "mlock", "n-gpu-layers", "no-mmap", "parallel", "seed",
                       "split-mode", "tensor-split", "threads", "threads-batch", "ubatch-size"},
      .default_concurrency = 4,
      .command = {"llama-server", "--model", "{model_file}", "--alias", "{model_name}", "--host",
                  "{host}", "--port", "{port}", "--metrics", "--no-webui", "{config}"},
      .default_config = {{"parallel", "{concurrency}"}, {"threads", "1"}},
      .flags = {"mlock", "no-mmap"},
  };
}

// Unlike an engine that is only played, it can be told how to behave.
Engine simulated(std::string_view self_path) {
  Engine engine = as_simulated({.name = "simulated", .versions = {"1.0.0"}}, self_path);
  engine.spans_nodes = true;
  engine.allowed_keys = {"fault",         "itl-jitter-ms",  "itl-ms",       "latency-shape",
                         "load-delay-ms", "max-model-len",  "max-num-seqs", "seed",
                         "tokens",        "ttft-jitter-ms", "ttft-ms"};
  engine.command.emplace_back(config_argument);
  return engine;
}

Error at(const toml::node& node, std::string message) {
  return Error{
      .code = Code::invalid_argument,
      .message = fmt::format("configuration line {}: {}", node.source().begin.line, message)};
}

// One value of a table, by the name that errors call it.
struct Entry {
  std::string path;
  const toml::node& node;
};

Result<std::string> read_text(const Entry& entry) {
  const auto value = entry.node.value_exact<std::string>();
  if (!value.has_value()) {
    return at(entry.node, fmt::format("{} must be a text in quotes", entry.path));
  }
  return *value;
}

Result<bool> read_bool(const Entry& entry) {
  const auto value = entry.node.value_exact<bool>();
  if (!value.has_value()) {
    return at(entry.node, fmt::format("{} must be true or false", entry.path));
  }
  return *value;
}

Result<std::uint32_t> read_count(const Entry& entry) {
  constexpr std::int64_t count_max = 65'536;
  const auto value = entry.node.value_exact<std::int64_t>();
  if (!value.has_value() || *value < 1 || *value > count_max) {
    return at(entry.node,
              fmt::format("{} must be a whole number from 1 to {}", entry.path, count_max));
  }
  return static_cast<std::uint32_t>(*value);
}

Result<std::vector<std::string>> read_texts(const Entry& entry) {
  std::vector<std::string> texts;
  const toml::array* array = entry.node.as_array();
  if (array == nullptr) {
    return at(entry.node, fmt::format("{} must be a list of texts, like [\"a\", \"b\"]",  //
                                      entry.path));
  }
  for (const toml::node& element : *array) {
    TRY_ASSIGN(auto text, read_text({fmt::format("{}[{}]", entry.path, texts.size()), element}));
    texts.push_back(std::move(text));
  }
  return texts;
}

Result<std::map<std::string, std::string>> read_text_table(const Entry& entry) {
  std::map<std::string, std::string> texts;
  const toml::table* table = entry.node.as_table();
  if (table == nullptr) {
    return at(entry.node,
              fmt::format("{} must be a table of texts, like {{ key = \"value\" }}", entry.path));
  }
  for (const auto& [key, node] : *table) {
    const std::string name(key.str());
    TRY_ASSIGN(auto text, read_text({fmt::format("{}.{}", entry.path, name), node}));
    texts.emplace(name, std::move(text));
  }
  return texts;
}

Result<std::string> read_path(const Entry& entry) {
  TRY_ASSIGN(auto path, read_text(entry));
  if (!path.empty() && !path.starts_with('/')) {
    return at(entry.node, fmt::format("{} must start with /", entry.path));
  }
  return path;
}

template <typename Field, typename Reader>
auto setter(Field Engine::* field, Reader read) {
  return [field, read](Engine& engine, const Entry& entry) -> Result<void> {
    TRY_ASSIGN(auto value, read(entry));
    engine.*field = Field(std::move(value));
    return {};
  };
}

auto set_setter(std::set<std::string> Engine::* field) {
  return [field](Engine& engine, const Entry& entry) -> Result<void> {
    TRY_ASSIGN(auto texts, read_texts(entry));
    engine.*field = std::set<std::string>(texts.begin(), texts.end());
    return {};
  };
}

struct Key {
  std::string_view name;
  std::function<Result<void>(Engine&, const Entry&)> set;
};

const std::vector<Key>& keys() {
  static const std::vector<Key> table = {
      {"versions", setter(&Engine::versions, read_texts)},
      {"allowed_keys", setter(&Engine::allowed_keys, read_texts)},
      {"allowed_env_names", setter(&Engine::allowed_env_names, read_texts)},
      {"default_concurrency", setter(&Engine::default_concurrency, read_count)},
      {"spans_nodes", setter(&Engine::spans_nodes, read_bool)},
      {"needs_weights", setter(&Engine::needs_weights, read_bool)},
      {"command", setter(&Engine::command, read_texts)},
      {"default_config", setter(&Engine::default_config, read_text_table)},
      {"flags", set_setter(&Engine::flags)},
      {"negatable_flags", set_setter(&Engine::negatable_flags)},
      {"env", setter(&Engine::env, read_text_table)},
      {"health_path", setter(&Engine::health_path, read_path)},
      {"ready_path", setter(&Engine::ready_path, read_path)},
      {"metrics_path", setter(&Engine::metrics_path, read_path)},
  };
  return table;
}

std::string key_names() {
  std::string names = "enabled";
  for (const Key& key : keys()) names += fmt::format(", {}", key.name);
  return names;
}

Result<void> check_engine(const Engine& engine, const Entry& entry) {
  if (engine.command.empty() || engine.command.front().empty()) {
    return at(entry.node,
              fmt::format("{0}.command is required: the program and its arguments, like "
                          "[\"vllm\", \"serve\", \"{{model_dir}}\", \"--port\", \"{{port}}\"]",
                          entry.path));
  }
  if (engine.versions.empty()) {
    return at(entry.node, fmt::format("{}.versions is required: what clients may ask for, newest "
                                      "first, like [\"1.0.0\"]",
                                      entry.path));
  }
  if (!uses_placeholder(engine, "{port}")) {
    return at(entry.node, fmt::format("{}.command must pass {{port}} to the engine: Staithe "
                                      "chooses the port",
                                      entry.path));
  }
  if (engine.health_path.empty()) {
    return at(entry.node, fmt::format("{}.health_path must not be empty", entry.path));
  }
  return {};
}

Result<void> read_engine(EngineCatalogue& catalogue, const std::string& name, const Entry& entry) {
  const toml::table* table = entry.node.as_table();
  if (table == nullptr) {
    return at(entry.node, fmt::format("{0} must be a table: write [{0}]", entry.path));
  }
  Engine engine;
  if (const Engine* shipped = catalogue.find(name)) engine = *shipped;
  engine.name = name;
  bool is_enabled = true;
  for (const auto& [key, node] : *table) {
    const std::string_view key_name = key.str();
    const Entry value{fmt::format("{}.{}", entry.path, key_name), node};
    if (key_name == "enabled") {
      TRY_ASSIGN(is_enabled, read_bool(value));
      continue;
    }
    const auto known = std::find_if(keys().begin(), keys().end(),
                                    [key_name](const Key& one) { return one.name == key_name; });
    if (known == keys().end()) {
      return at(node, fmt::format("{} is not known; an engine takes {}", value.path, key_names()));
    }
    TRY(known->set(engine, value));
  }
  if (!is_enabled) {
    catalogue.engines.erase(name);
    return {};
  }
  TRY(check_engine(engine, entry));
  catalogue.engines[name] = std::move(engine);
  return {};
}

}  // namespace

const Engine* EngineCatalogue::find(std::string_view name) const {
  const auto found = engines.find(name);
  return found == engines.end() ? nullptr : &found->second;
}

std::map<std::string, model::EngineOffer> EngineCatalogue::offers() const {
  std::map<std::string, model::EngineOffer> offers;
  for (const auto& [name, engine] : engines) offers.emplace(name, make_offer(engine));
  return offers;
}

EngineCatalogue shipped_engines(std::string_view self_path) {
  EngineCatalogue catalogue;
  for (Engine& engine :
       std::array<Engine, 4>{vllm(), dynamo_vllm(), llama_cpp(), simulated(self_path)}) {
    catalogue.engines.emplace(engine.name, engine);
  }
  return catalogue;
}

Result<EngineCatalogue> read_engines(std::string_view toml_text, EngineCatalogue shipped) {
  toml::table file;
  try {
    file = toml::parse(toml_text);
  } catch (const toml::parse_error& problem) {
    return Error{.code = Code::invalid_argument,
                 .message = fmt::format("configuration line {}: {}", problem.source().begin.line,
                                        problem.description())};
  }
  const toml::node* engines = file.get("engines");
  if (engines == nullptr) return shipped;
  const toml::table* table = engines->as_table();
  if (table == nullptr) {
    return at(*engines, "engines must be tables: write [engines.NAME] for each engine");
  }
  for (const auto& [key, node] : *table) {
    const std::string name(key.str());
    TRY(read_engine(shipped, name, {fmt::format("engines.{}", name), node}));
  }
  return shipped;
}

model::Catalogue make_catalogue(const std::vector<model::Node>& nodes,
                                const EngineCatalogue& engines) {
  model::Catalogue catalogue;
  catalogue.engines = engines.offers();
  for (const model::Node& node : nodes) catalogue.add(node);
  return catalogue;
}

}  // namespace staithe::runtime
