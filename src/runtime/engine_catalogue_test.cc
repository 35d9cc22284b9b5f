#include "runtime/engine_catalogue.h"

#include <gtest/gtest.h>

namespace staithe::runtime {
namespace {

Result<EngineCatalogue> read(std::string_view text) {
  return read_engines(text, shipped_engines("/opt/staithe"));
}

std::string message_of(std::string_view text) {
  const auto refused = read(text);
  EXPECT_FALSE(refused.has_value());
  return refused.has_value() ? "" : refused.error().message;
}

TEST(EngineCatalogue, comes_with_four_engines_that_clients_can_ask_for) {
  const auto offers = shipped_engines("/opt/staithe").offers();
  ASSERT_EQ(offers.size(), 4U);
  for (const char* name : {"vllm", "dynamo-vllm", "llama.cpp", "simulated"}) {
    ASSERT_TRUE(offers.contains(name)) << name;
    EXPECT_FALSE(offers.at(name).versions.empty()) << name;
  }
  EXPECT_EQ(offers.at("vllm").versions.front(), "0.22.0+crwv.2");
  EXPECT_EQ(offers.at("vllm").default_concurrency, 16U);
}

TEST(EngineCatalogue, never_advertises_what_would_let_a_tenant_choose_names_or_files) {
  for (const auto& [name, offer] : shipped_engines("/opt/staithe").offers()) {
    for (const char* key : {"alias", "served-model-name", "model", "host", "port", "api-key",
                            "trust-remote-code", "log-file"}) {
      EXPECT_EQ(std::count(offer.allowed_keys.begin(), offer.allowed_keys.end(), key), 0)
          << name << " " << key;
    }
  }
}

TEST(ReadEngines, a_file_without_engines_changes_nothing) {
  EXPECT_EQ(read("").value().engines, shipped_engines("/opt/staithe").engines);
  EXPECT_EQ(read("[server]\nlisten = \"x\"").value().engines.size(), 4U);
}

TEST(ReadEngines, a_table_changes_the_keys_it_has) {
  const auto catalogue = read(R"(
    [engines.vllm]
    command = ["/opt/vllm/bin/vllm", "serve", "{model_dir}", "--port", "{port}", "{config}"]
    versions = ["0.9.0"]
    env = { VLLM_CACHE_ROOT = "/cache" }
  )")
                             .value();
  const Engine& engine = *catalogue.find("vllm");
  EXPECT_EQ(engine.command.front(), "/opt/vllm/bin/vllm");
  EXPECT_EQ(engine.versions, std::vector<std::string>{"0.9.0"});
  EXPECT_EQ(engine.env.at("VLLM_CACHE_ROOT"), "/cache");
  EXPECT_EQ(engine.allowed_keys, shipped_engines("").find("vllm")->allowed_keys);
}

TEST(ReadEngines, a_new_engine_has_everything_from_its_table) {
  const auto catalogue = read(R"(
    [engines.sglang]
    command = ["sglang", "--model-path", "{model_dir}", "--port", "{port}", "{config}"]
    versions = ["1.0.0"]
    allowed_keys = ["mem-fraction-static"]
    allowed_env_names = ["SGL_LOG"]
    default_concurrency = 32
    default_config = { tp = "{gpus}" }
    flags = ["a", "b"]
    negatable_flags = ["a"]
    needs_weights = false
    spans_nodes = true
    health_path = "/health_generate"
    ready_path = ""
    metrics_path = "/m"
  )")
                             .value();
  const Engine& engine = *catalogue.find("sglang");
  EXPECT_EQ(engine.name, "sglang");
  EXPECT_EQ(engine.default_concurrency, 32U);
  EXPECT_EQ(engine.default_config.at("tp"), "{gpus}");
  EXPECT_EQ(engine.flags, (std::set<std::string>{"a", "b"}));
  EXPECT_FALSE(engine.needs_weights);
  EXPECT_TRUE(engine.spans_nodes);
  EXPECT_EQ(engine.health_path, "/health_generate");
  EXPECT_EQ(engine.ready_path, "");
  EXPECT_EQ(catalogue.engines.size(), 5U);
}

TEST(ReadEngines, engines_stay_on_one_node_unless_told_otherwise) {
  const auto catalogue = read("[engines.dynamo-vllm]\nspans_nodes = true").value();
  EXPECT_FALSE(catalogue.find("vllm")->spans_nodes);
  EXPECT_TRUE(catalogue.find("dynamo-vllm")->spans_nodes);
  EXPECT_TRUE(catalogue.find("simulated")->spans_nodes);
}

TEST(ReadEngines, an_engine_can_be_taken_away) {
  EXPECT_EQ(read("[engines.simulated]\nenabled = false").value().find("simulated"), nullptr);
}

TEST(ReadEngines, errors_name_the_key_the_line_and_the_remedy) {
  EXPECT_EQ(message_of("\n[engines.vllm]\nversions = \"1\""),
            "configuration line 3: engines.vllm.versions must be a list of texts, like [\"a\", "
            "\"b\"]");
  EXPECT_EQ(message_of("[engines.vllm]\nversions = [\"1\", 2]"),
            "configuration line 2: engines.vllm.versions[1] must be a text in quotes");
  EXPECT_EQ(message_of("[engines.vllm]\ndefault_concurrency = 0"),
            "configuration line 2: engines.vllm.default_concurrency must be a whole number from 1 "
            "to 65536");
  EXPECT_EQ(message_of("[engines.vllm]\nhealth_path = \"health\""),
            "configuration line 2: engines.vllm.health_path must start with /");
  EXPECT_NE(message_of("[engines.vllm]\ncomand = []")
                .find("engines.vllm.comand is not known; an "
                      "engine takes enabled, versions, "),
            std::string::npos);
  EXPECT_NE(
      message_of("[engines.mine]\nversions = [\"1.0.0\"]").find("engines.mine.command is required"),
      std::string::npos);
  EXPECT_NE(message_of("[engines.mine]\ncommand = [\"mine\", \"{port}\"]")
                .find("engines.mine.versions is required"),
            std::string::npos);
  EXPECT_NE(message_of("[engines.mine]\nversions = [\"1.0.0\"]\ncommand = [\"mine\"]")
                .find("must pass {port}"),
            std::string::npos);
  EXPECT_NE(message_of("engines = 3").find("[engines.NAME]"), std::string::npos);
  EXPECT_NE(message_of("[engines\n").find("configuration line 1: "), std::string::npos);
}

TEST(MakeCatalogue, offers_the_zones_and_types_of_the_nodes) {
  const auto catalogue =
      make_catalogue({{.id = "a", .zone = "US-EAST-01A", .instance_type = "gd-8x", .gpu_count = 8},
                      {.id = "b", .zone = "US-EAST-01A", .instance_type = "gd-8x", .gpu_count = 8},
                      {.id = "c", .zone = "RNO2A", .instance_type = "cpu-1x", .gpu_count = 1}},
                     shipped_engines("/opt/staithe"));
  EXPECT_EQ(catalogue.zones, (std::vector<std::string>{"US-EAST-01A", "RNO2A"}));
  EXPECT_EQ(catalogue.zone_instance_types.at("US-EAST-01A"), std::vector<std::string>{"gd-8x"});
  EXPECT_EQ(catalogue.instance_types.size(), 2U);
  EXPECT_EQ(catalogue.instance_types[0].gpu_count, 8U);
  EXPECT_EQ(catalogue.engines.size(), 4U);
}

}  // namespace
}  // namespace staithe::runtime
