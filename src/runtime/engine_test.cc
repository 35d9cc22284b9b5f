#include "runtime/engine.h"

#include <gtest/gtest.h>

#include "runtime/driver_test_kit.h"
#include "runtime/engine_catalogue.h"

namespace staithe::runtime {
namespace {

using Arguments = std::vector<std::string>;

CommandValues some_values() {
  return {.host = "127.0.0.1",
          .port = 4321,
          .model_name = "org/model",
          .model_dir = "/weights/m",
          .model_file = "/weights/m/m.gguf",
          .version = "1.2.3",
          .concurrency = 8,
          .gpus = 2};
}

Engine shipped(std::string_view name) {
  return *shipped_engines("/opt/staithe").find(name);
}

TEST(MakeCommand, fills_in_a_template_without_a_shell) {
  const Engine engine{.name = "e",
                      .command = {"/opt/{version}/e", "--listen={host}:{port}", "{model_dir}",
                                  "{gpus}x{concurrency}", "$(id) `id` ; id"}};
  EXPECT_EQ(make_command(engine, some_values(), {}).value(),
            (Arguments{"/opt/1.2.3/e", "--listen=127.0.0.1:4321", "/weights/m", "2x8",
                       "$(id) `id` ; id"}));
}

TEST(MakeCommand, does_not_fill_in_what_a_value_brings) {
  CommandValues values = some_values();
  values.model_dir = "/weights/{port}";
  const Engine engine{.name = "e", .command = {"e", "{model_dir}", "{port}"}};
  EXPECT_EQ(make_command(engine, values, {}).value(), (Arguments{"e", "/weights/{port}", "4321"}));
}

TEST(MakeCommand, starts_vllm_with_what_the_deployment_asked_for) {
  EXPECT_EQ(
      make_command(shipped("vllm"), some_values(), {{"max-model-len", "8192"}, {"dtype", "half"}})
          .value(),
      (Arguments{"vllm", "serve", "/weights/m", "--served-model-name", "org/model", "--host",
                 "127.0.0.1", "--port", "4321", "--dtype", "half", "--max-model-len", "8192",
                 "--max-num-seqs", "8", "--tensor-parallel-size", "2"}));
}

TEST(MakeCommand, starts_llama_cpp_on_the_model_file) {
  EXPECT_EQ(make_command(shipped("llama.cpp"), some_values(), {{"threads", "4"}}).value(),
            (Arguments{"llama-server", "--model", "/weights/m/m.gguf", "--alias", "org/model",
                       "--host", "127.0.0.1", "--port", "4321", "--metrics", "--no-webui",
                       "--parallel", "8", "--threads", "4"}));
}

TEST(MakeCommand, uses_the_engines_concurrency_when_the_deployment_has_none) {
  CommandValues values = some_values();
  values.concurrency = 0;
  const auto arguments = make_command(shipped("llama.cpp"), values, {}).value();
  EXPECT_EQ(arguments[12], "4");
}

TEST(MakeCommand, turns_flags_on_and_off) {
  const auto with = [](const char* value) {
    return make_command({.name = "e",
                         .allowed_keys = {"flash", "lock"},
                         .command = {"e", "{config}"},
                         .flags = {"flash", "lock"},
                         .negatable_flags = {"flash"}},
                        some_values(), {{"flash", value}, {"lock", value}});
  };
  EXPECT_EQ(with("true").value(), (Arguments{"e", "--flash", "--lock"}));
  EXPECT_EQ(with("").value(), (Arguments{"e", "--flash", "--lock"}));
  EXPECT_EQ(with("false").value(), (Arguments{"e", "--no-flash"}));
  EXPECT_EQ(with("maybe").error().message, "engineConfig[flash] must be true or false");
}

TEST(MakeCommand, refuses_a_value_that_could_be_read_as_another_option) {
  const auto with = [](const std::string& value) {
    return make_command(shipped("vllm"), some_values(), {{"dtype", value}});
  };
  EXPECT_FALSE(with("--trust-remote-code").has_value());
  EXPECT_FALSE(with("-x").has_value());
  EXPECT_FALSE(with(std::string("a\0b", 3)).has_value());
  EXPECT_TRUE(with("-1").has_value());
  CommandValues values = some_values();
  values.model_name = "--allowed-local-media-path";
  EXPECT_FALSE(make_command(shipped("vllm"), values, {}).has_value());
}

TEST(MakeCommand, refuses_a_key_that_is_not_advertised) {
  const auto refused = make_command(shipped("vllm"), some_values(), {{"chat-template", "/etc/x"}});
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, Code::invalid_argument);
  EXPECT_NE(refused.error().message.find("chat-template"), std::string::npos);
}

TEST(AsSimulated, keeps_what_clients_see_and_needs_nothing) {
  const Engine real = shipped("vllm");
  const Engine simulated = as_simulated(real, "/opt/staithe");
  EXPECT_EQ(simulated.name, real.name);
  EXPECT_EQ(simulated.versions, real.versions);
  EXPECT_EQ(simulated.allowed_keys, real.allowed_keys);
  EXPECT_FALSE(simulated.needs_weights);
  EXPECT_EQ(make_command(simulated, some_values(), {{"max-model-len", "8192"}}).value(),
            (Arguments{"/opt/staithe", "engine", "simulate", "--host", "127.0.0.1", "--port",
                       "4321", "--model", "org/model"}));
}

TEST(FindProgram, looks_on_the_search_path_in_order) {
  const testing::TemporaryDirectory directory;
  const std::string program = directory.make_file("second/engine");
  directory.make_file("first/engine");  // not executable
  ASSERT_EQ(::chmod(program.c_str(), 0700), 0);
  const std::string path =
      directory.path() + "/none:" + directory.path() + "/first:" + directory.path() + "/second";
  EXPECT_EQ(find_program("engine", path).value(), program);
  EXPECT_EQ(find_program(program, "").value(), program);
}

TEST(FindProgram, names_what_is_missing_and_where_it_looked) {
  const auto missing = find_program("no-such-engine", "/usr/bin:/bin");
  ASSERT_FALSE(missing.has_value());
  EXPECT_EQ(missing.error().message, "no program no-such-engine on the search path /usr/bin:/bin");
  EXPECT_FALSE(find_program("/usr/bin", "").has_value());  // a directory
  EXPECT_FALSE(find_program("", "/usr/bin").has_value());
}

}  // namespace
}  // namespace staithe::runtime
