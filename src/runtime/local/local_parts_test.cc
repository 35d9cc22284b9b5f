// The parts of the local driver that need no engine.
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>

#include "runtime/driver_test_kit.h"
#include "runtime/local/back_off.h"
#include "runtime/local/engine_log.h"
#include "runtime/local/inventory.h"
#include "runtime/local/ports.h"
#include "runtime/local/probe.h"
#include "runtime/local/process.h"
#include "runtime/local/replica_files.h"

namespace staithe::runtime {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::TemporaryDirectory;

constexpr Instant start{seconds{1'000}};

TEST(BackOff, doubles_to_its_limit) {
  BackOff back_off({});
  Instant now = start;
  std::vector<std::int64_t> pauses_ms;
  for (int i = 0; i < 10; ++i) {
    back_off.on_start(now);
    back_off.on_exit(now);
    pauses_ms.push_back(
        std::chrono::duration_cast<milliseconds>(back_off.restart_at() - now).count());
    now = back_off.restart_at();
  }
  EXPECT_EQ(pauses_ms, (std::vector<std::int64_t>{200, 400, 800, 1600, 3200, 6400, 12800, 25600,
                                                  30000, 30000}));
  EXPECT_EQ(back_off.restarts(), 9U);
  EXPECT_TRUE(back_off.is_crash_loop());
  EXPECT_FALSE(back_off.was_ever_ready());
}

TEST(BackOff, P11_forgets_crashes_after_a_long_healthy_life) {
  BackOff back_off({});
  for (int i = 0; i < 4; ++i) {
    back_off.on_start(start);
    back_off.on_exit(start);
  }
  back_off.on_start(start);
  back_off.on_ready(start);
  back_off.on_exit(start + seconds{61});
  EXPECT_FALSE(back_off.is_crash_loop());
  EXPECT_EQ(back_off.restart_at(), start + seconds{61} + milliseconds{200});
}

TEST(BackOff, counts_quick_crashes_of_an_engine_that_does_become_ready) {
  BackOff back_off({});
  for (int i = 0; i < 5; ++i) {
    back_off.on_start(start);
    back_off.on_ready(start);
    back_off.on_exit(start + seconds{1});
  }
  EXPECT_TRUE(back_off.is_crash_loop());
  EXPECT_TRUE(back_off.was_ever_ready());
}

TEST(BackOff, does_not_wait_for_a_lost_port_unless_it_is_lost_again_and_again) {
  BackOff back_off({});
  for (int i = 0; i < 3; ++i) {
    back_off.on_start(start);
    back_off.on_port_lost(start);
    EXPECT_EQ(back_off.restart_at(), start);
  }
  back_off.on_start(start);
  back_off.on_port_lost(start);
  EXPECT_GT(back_off.restart_at(), start);
}

TEST(EngineLog, keeps_the_last_lines_printable) {
  const TemporaryDirectory files;
  const EngineLog log(files.make_file("log", "one\n\x1b[32mtwo\x1b[0m\r\n\nbad \xff byte\nlast"));
  EXPECT_EQ(log.last_lines(3), (std::vector<std::string>{"two", "bad ? byte", "last"}));
  EXPECT_EQ(log.last_lines(0), std::vector<std::string>{});
}

TEST(EngineLog, goes_on_to_the_file_before) {
  const TemporaryDirectory files;
  const EngineLog log(files.make_file("log", "old 1\nold 2\n"));
  log.begin();
  files.make_file("log", "new\n");
  EXPECT_EQ(log.last_lines(2), (std::vector<std::string>{"old 2", "new"}));
  EXPECT_EQ(log.last_lines_of_this_run(5), std::vector<std::string>{"new"});
}

TEST(EngineLog, is_emptied_into_the_older_file_while_its_writer_appends) {
  const TemporaryDirectory files;
  const std::string path = files.path() + "/log";
  std::ofstream writer(path, std::ios::app);
  for (int i = 0; i < 100; ++i) writer << "line " << i << "\n";
  writer.flush();
  const EngineLog log(path);
  log.rotate(1'000'000);
  EXPECT_GT(std::filesystem::file_size(path), 0U);

  log.rotate(100);
  writer << "after\n" << std::flush;

  EXPECT_EQ(std::filesystem::file_size(path), 6U);
  EXPECT_EQ(log.last_lines(2), (std::vector<std::string>{"line 99", "after"}));
}

TEST(EngineLog, that_is_huge_is_read_from_its_end) {
  const TemporaryDirectory files;
  std::string text;
  for (int i = 0; i < 100'000; ++i) text += "line " + std::to_string(i) + "\n";
  const EngineLog log(files.make_file("log", text));
  EXPECT_EQ(log.last_lines(1), std::vector<std::string>{"line 99999"});
  EXPECT_LT(log.last_lines(1'000'000).size(), 100'000U);
}

TEST(Ports, are_taken_from_the_range_and_not_twice) {
  SeededRandom random(7);
  const std::uint16_t base = choose_port({}, {}, random).value();
  EXPECT_NE(base, 0);
  EXPECT_TRUE(is_port_free(base));
  std::set<std::uint16_t> taken{base};
  EXPECT_NE(choose_port({}, taken, random).value(), base);
  const auto full = choose_port({base, base}, taken, random);
  ASSERT_FALSE(full.has_value());
  EXPECT_EQ(full.error().code, Code::resource_exhausted);
  EXPECT_EQ(choose_port({base, base}, {}, random).value(), base);
}

TEST(ListsModel, takes_only_a_list_with_that_name) {
  EXPECT_TRUE(lists_model(R"({"data":[{"id":"a"},{"id":"b"}]})", "b"));
  for (const char* body : {R"({"data":[{"id":"bb"}]})", R"({"data":[]})", R"({"data":["b"]})",
                           R"({"data":{"id":"b"}})", R"(["b"])", "", "{", "null"}) {
    EXPECT_FALSE(lists_model(body, "b")) << body;
  }
}

TEST(ReplicaRecord, survives_writing_and_reading) {
  const ReplicaRecord record{.spec = {.id = "r",
                                      .deployment_id = "d",
                                      .organization_id = "o",
                                      .parts = {{"n", {1, 3}}, {"n2", {0}}},
                                      .runtime = {.engine = "vllm",
                                                  .version = "0.8.5",
                                                  .engine_config = {{"a", "b"}},
                                                  .engine_env = {{"C", "d"}}},
                                      .model = {.name = "m", .bucket = "b", .path = "/p/"},
                                      .concurrency = 4},
                             .port = 4321,
                             .boot_id = "boot",
                             .process = {.pid = 77, .start_ticks = 1'234'567'890'123}};
  EXPECT_EQ(decode_record(encode(record)).value(), record);
  for (const char* text :
       {"", "{}", "[]", R"({"spec":1})",
        R"({"spec":{"id":"r","deployment":"d","organization":"o","parts":[]}})", "nonsense"}) {
    EXPECT_EQ(decode_record(text).error().code, Code::data_loss) << text;
  }
}

TEST(ReplicaRecord, of_one_node_from_before_replicas_could_span_them_is_still_read) {
  const auto record = decode_record(R"({"spec": {"id": "r", "deployment": "d", "organization": "o",
      "node": "n", "gpu_slots": [1, 3], "engine": "vllm", "version": "0.8.5", "engine_config": {},
      "engine_env": {}, "model": "m", "bucket": "b", "path": "/p/", "concurrency": 4},
      "port": 4321, "boot": "boot", "pid": 77, "start_ticks": 5})");
  ASSERT_TRUE(record.has_value()) << record.error().message;
  EXPECT_EQ(record->spec.parts, (std::vector<model::ReplicaPart>{{"n", {1, 3}}}));
}

TEST(Zones, are_spelled_as_clients_accept_them) {
  for (const char* zone : {"US-LOCAL-01A", "EU-SOUTH-03B", "RNO2A", "US-WEST-1AB"}) {
    EXPECT_TRUE(is_zone(zone)) << zone;
  }
  for (const char* zone : {"", "US", "USA-LOCAL-01A", "US-LOCAL-01", "US-LOCAL-A", "us-local-01a",
                           "US-LOCAL-01A-", "US--01A", "PDX2A", "US-LOCAL-01A2"}) {
    EXPECT_FALSE(is_zone(zone)) << zone;
  }
}

TEST(TakeInventory, a_machine_without_gpus_has_one_slot) {
  const auto inventory = take_inventory({}, "/nowhere").value();
  ASSERT_EQ(inventory.nodes.size(), 1U);
  EXPECT_EQ(inventory.gpu_node_id, "");
  EXPECT_EQ(inventory.nodes[0].instance_type, "cpu-1x");
  EXPECT_EQ(inventory.nodes[0].zone, "US-LOCAL-01A");
  EXPECT_EQ(inventory.nodes[0].gpu_count, 1U);
  EXPECT_NE(inventory.nodes[0].id, "");
}

TEST(TakeInventory, asks_the_driver_tool_for_gpus) {
  const TemporaryDirectory files;
  const std::string tool =
      files.make_file("nvidia-smi", "#!/bin/sh\necho 'NVIDIA GB200'\necho 'NVIDIA GB200'\n");
  ASSERT_EQ(::chmod(tool.c_str(), 0700), 0);
  const auto inventory =
      take_inventory({.zone = "us-east-01a"}, files.path() + ":/usr/bin:/bin").value();
  EXPECT_EQ(inventory.gpu_node_id, inventory.nodes[0].id);
  EXPECT_EQ(inventory.nodes[0].instance_type, "gb200-2x");
  EXPECT_EQ(inventory.nodes[0].gpu_count, 2U);
  EXPECT_EQ(inventory.nodes[0].zone, "US-EAST-01A");
}

TEST(TakeInventory, a_driver_tool_that_fails_means_no_gpus) {
  const TemporaryDirectory files;
  const std::string tool = files.make_file("nvidia-smi", "#!/bin/sh\necho broken\nexit 9\n");
  ASSERT_EQ(::chmod(tool.c_str(), 0700), 0);
  EXPECT_EQ(take_inventory({}, files.path() + ":/usr/bin:/bin").value().gpu_node_id, "");
}

TEST(TakeInventory, declares_virtual_nodes) {
  const auto inventory =
      take_inventory(
          {.virtual_nodes = {{.zone = "RNO2A", .instance_type = "GB200-4x", .gpus = 4, .count = 2},
                             {.zone = "RNO2A",
                              .instance_type = "gb200-4x",
                              .gpus = 4,
                              .owner_organization = "cw0001"}}},
          "")
          .value();
  ASSERT_EQ(inventory.nodes.size(), 3U);
  EXPECT_EQ(inventory.nodes[0].id, "rno2a-gb200-4x-1");
  EXPECT_EQ(inventory.nodes[2].id, "rno2a-gb200-4x-3");
  EXPECT_EQ(inventory.nodes[2].owner_organization, "cw0001");
  EXPECT_EQ(inventory.nodes[0].instance_type, "gb200-4x");
  EXPECT_EQ(inventory.gpu_node_id, "");
}

TEST(TakeInventory, refuses_a_zone_that_clients_would_refuse) {
  const auto refused = take_inventory({.zone = "home"}, "");
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, Code::invalid_argument);
}

TEST(Process, that_cannot_be_started_says_why) {
  const TemporaryDirectory files;
  const std::string text = files.make_file("text", "no program");
  ASSERT_EQ(::chmod(text.c_str(), 0700), 0);
  const auto missing = Process::spawn(
      {.program = "/no/such/program", .arguments = {"x"}, .output_path = files.path() + "/log"});
  ASSERT_FALSE(missing.has_value());
  EXPECT_EQ(missing.error().code, Code::not_found);
  EXPECT_NE(missing.error().message.find("/no/such/program"), std::string::npos);
  EXPECT_EQ(
      Process::spawn({.program = text, .arguments = {"x"}, .output_path = files.path() + "/log"})
          .error()
          .code,
      Code::not_found);
}

TEST(RunForOutput, ends_a_command_that_takes_too_long) {
  const auto late = run_for_output({.program = "/bin/sleep", .arguments = {"sleep", "1000"}}, 20);
  ASSERT_FALSE(late.has_value());
  EXPECT_EQ(late.error().code, Code::deadline_exceeded);
}

}  // namespace
}  // namespace staithe::runtime
