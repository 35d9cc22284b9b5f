#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "model/catalogue.h"
#include "model/node.h"
#include "runtime/engine.h"

namespace staithe::runtime {

// The engines of a server, by name. A value made once from configuration.
struct EngineCatalogue {
  std::map<std::string, Engine, std::less<>> engines;

  const Engine* find(std::string_view name) const;
  // For model::Catalogue::engines.
  std::map<std::string, model::EngineOffer> offers() const;
};

// The engines that come with the server: vllm, dynamo-vllm, llama.cpp and simulated. `self_path` is
// our own executable, which runs the simulated one.
EngineCatalogue shipped_engines(std::string_view self_path);

// `shipped` changed by the tables `[engines.NAME]` of a whole configuration file; everything else
// in the file is left to others. A table with the name of a shipped engine replaces the keys it
// has; a new engine needs `command` and `versions`; `enabled = false` removes one. The error is
// INVALID_ARGUMENT and names the key, the line and what to write instead.
Result<EngineCatalogue> read_engines(std::string_view toml_text, EngineCatalogue shipped);

// What a server with these machines and engines offers: the zones and instance types of its nodes.
model::Catalogue make_catalogue(const std::vector<model::Node>& nodes,
                                const EngineCatalogue& engines);

}  // namespace staithe::runtime
