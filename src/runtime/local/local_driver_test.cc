#include "runtime/local/local_driver.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <set>
#include <string>

#include "base/unique_fd.h"
#include "net/http_server.h"
#include "runtime/driver_test_kit.h"
#include "runtime/local/probe.h"

namespace staithe::runtime::testing {
namespace {

namespace fs = std::filesystem;

bool is_alive(std::int64_t pid) {
  const auto stat = read_stat(pid);
  return stat.has_value() && !stat->is_dead();
}

std::set<std::string> environment_of(std::int64_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/environ", std::ios::binary);
  std::set<std::string> entries;
  for (std::string entry; std::getline(file, entry, '\0');) entries.insert(entry);
  return entries;
}

// The pids that the engine says it has started.
std::vector<std::int64_t> children_of(LocalRig& rig, const model::Id& id) {
  std::vector<std::int64_t> pids;
  const auto lines = rig.driver().log_lines(id, 100).value();
  for (const std::string& line : lines) {
    if (line.starts_with("child ")) pids.push_back(std::stoll(line.substr(6)));
  }
  return pids;
}

TEST(LocalDriver, R13_an_engine_outlives_the_driver_and_serves_on_under_the_next_one) {
  LocalRig rig;
  const ReplicaSpec spec = rig.make_spec("r1", Behaviour::normal);
  rig.driver().ensure(spec).value();
  ASSERT_TRUE(rig.wait_for("r1", ReplicaPhase::ready));
  const ReplicaState before = rig.find("r1").value();

  rig.close();
  ASSERT_TRUE(is_alive(before.pid));
  rig.reopen();

  // Ready at the first look: no false alarm, and no start.
  const ReplicaState after = rig.find("r1").value();
  EXPECT_EQ(after.phase, ReplicaPhase::ready);
  EXPECT_EQ(after.pid, before.pid);
  EXPECT_EQ(after.port, before.port);
  EXPECT_EQ(rig.driver().ensure(spec).value().pid, before.pid);
  EXPECT_TRUE(rig.stop_and_wait("r1"));
  EXPECT_FALSE(is_alive(before.pid));
}

TEST(LocalDriver, R13_an_engine_is_found_by_its_marker_when_its_record_is_lost) {
  LocalRig rig;
  const ReplicaSpec spec = rig.make_spec("r1", Behaviour::normal);
  const auto before = rig.driver().ensure(spec).value();
  ASSERT_TRUE(rig.wait_for("r1", ReplicaPhase::ready));
  rig.close();
  fs::remove_all(rig.replica_directory("r1"));
  rig.reopen();

  EXPECT_EQ(rig.driver().ensure(spec).value().pid, before.pid);

  ASSERT_TRUE(rig.wait_for("r1", ReplicaPhase::ready));
  EXPECT_EQ(rig.find("r1").value().port, before.port);
  // The record is there again for the next time.
  EXPECT_EQ(ReplicaFiles(rig.options.data_directory + "/engines", "r1").read().value().process.pid,
            before.pid);
}

TEST(LocalDriver, an_engine_is_found_when_the_server_died_before_it_wrote_the_pid) {
  LocalRig rig;
  const ReplicaSpec spec = rig.make_spec("r1", Behaviour::normal);
  const auto before = rig.driver().ensure(spec).value();
  ASSERT_TRUE(rig.wait_for("r1", ReplicaPhase::ready));
  rig.close();
  const ReplicaFiles files(rig.options.data_directory + "/engines", "r1");
  ReplicaRecord record = files.read().value();
  record.process = {};
  ASSERT_TRUE(files.write(record).has_value());
  rig.reopen();

  EXPECT_EQ(rig.find("r1").value().pid, before.pid);
}

TEST(LocalDriver, a_pid_that_belongs_to_somebody_else_by_now_is_left_alone) {
  LocalRig rig;
  const ReplicaSpec spec = rig.make_spec("r1", Behaviour::normal);
  const auto before = rig.driver().ensure(spec).value();
  rig.close();
  ::kill(static_cast<pid_t>(-before.pid), SIGKILL);
  ASSERT_TRUE(rig.ear.wait([&] { return !is_alive(before.pid); }));
  const ReplicaFiles files(rig.options.data_directory + "/engines", "r1");
  ReplicaRecord record = files.read().value();
  record.process = {.pid = ::getpid(), .start_ticks = record.process.start_ticks};
  ASSERT_TRUE(files.write(record).has_value());
  rig.reopen();

  const ReplicaState state = rig.find("r1").value();
  EXPECT_EQ(state.phase, ReplicaPhase::exited);
  EXPECT_EQ(state.pid, 0);
  EXPECT_NE(rig.driver().ensure(spec).value().pid, before.pid);
  EXPECT_TRUE(rig.wait_for("r1", ReplicaPhase::ready));
}

TEST(LocalDriver, an_unreadable_record_without_a_process_is_cleared_away) {
  LocalRig rig;
  rig.close();
  rig.directory.make_file("data/engines/r1/replica.json", "{\"spec\":");
  rig.reopen();
  EXPECT_TRUE(rig.driver().list().value().empty());
  EXPECT_FALSE(fs::exists(rig.replica_directory("r1")));
}

TEST(LocalDriver, engines_of_another_data_directory_are_none_of_its_business) {
  LocalRig one;
  one.driver().ensure(one.make_spec("r1", Behaviour::normal)).value();
  LocalRig two;
  EXPECT_TRUE(two.driver().list().value().empty());
  EXPECT_TRUE(two.driver().stop("r1").value());
  EXPECT_TRUE(one.wait_for("r1", ReplicaPhase::ready));
}

TEST(LocalDriver, P01_an_adopted_engine_that_ignores_the_signal_is_killed) {
  LocalRig rig;
  const auto state = rig.driver().ensure(rig.make_spec("r1", Behaviour::ignores_term)).value();
  ASSERT_TRUE(rig.wait_for("r1", ReplicaPhase::ready));
  rig.reopen();
  EXPECT_TRUE(rig.stop_and_wait("r1"));
  EXPECT_FALSE(is_alive(state.pid));
  EXPECT_FALSE(fs::exists(rig.replica_directory("r1")));
}

TEST(LocalDriver, what_an_engine_started_goes_with_it) {
  LocalRig rig;
  ReplicaSpec spec = rig.make_spec("r1", Behaviour::normal);
  spec.runtime.engine_config["children"] = "1";
  rig.driver().ensure(spec).value();
  ASSERT_TRUE(rig.wait_for("r1", ReplicaPhase::ready));
  const auto children = children_of(rig, "r1");
  ASSERT_EQ(children.size(), 2U);
  for (const auto pid : children) ASSERT_TRUE(is_alive(pid));

  EXPECT_TRUE(rig.stop_and_wait("r1"));

  for (const auto pid : children) EXPECT_FALSE(is_alive(pid)) << pid;
}

TEST(LocalDriver, what_a_crashed_engine_started_does_not_keep_its_memory) {
  LocalRig rig;
  ReplicaSpec spec = rig.make_spec("r1", Behaviour::normal);
  spec.runtime.engine_config["children"] = "1";
  rig.driver().ensure(spec).value();
  ASSERT_TRUE(rig.wait_for("r1", ReplicaPhase::ready));
  const auto children = children_of(rig, "r1");
  ASSERT_EQ(children.size(), 2U);

  rig.crash("r1");

  ASSERT_TRUE(rig.wait_for("r1", ReplicaPhase::exited));
  for (const auto pid : children) {
    EXPECT_TRUE(rig.ear.wait([pid] { return !is_alive(pid); })) << pid;
  }
}

TEST(LocalDriver, what_is_left_of_an_engine_that_died_while_the_server_was_away_can_be_stopped) {
  LocalRig rig;
  ReplicaSpec spec = rig.make_spec("r1", Behaviour::normal);
  spec.runtime.engine_config["children"] = "1";
  const auto state = rig.driver().ensure(spec).value();
  ASSERT_TRUE(rig.wait_for("r1", ReplicaPhase::ready));
  const auto children = children_of(rig, "r1");
  ASSERT_EQ(children.size(), 2U);
  rig.close();
  ::kill(static_cast<pid_t>(state.pid), SIGKILL);
  fs::remove_all(rig.replica_directory("r1"));
  ASSERT_TRUE(rig.ear.wait([&] { return !is_alive(state.pid); }));
  rig.reopen();

  ASSERT_TRUE(rig.find("r1").has_value());
  EXPECT_TRUE(rig.stop_and_wait("r1"));
  for (const auto pid : children) EXPECT_FALSE(is_alive(pid)) << pid;
}

TEST(LocalDriver, an_engine_inherits_no_descriptor_and_no_secret) {
  LocalRig rig;
  // Left open by somebody without close-on-exec.
  const UniqueFd leak(::dup(2));
  ReplicaSpec spec = rig.make_spec("r1", Behaviour::normal);
  spec.runtime.engine_env["GREETING"] = "hello";
  const auto state = rig.driver().ensure(spec).value();
  ASSERT_TRUE(rig.wait_for("r1", ReplicaPhase::ready));

  const std::string fd_directory = "/proc/" + std::to_string(state.pid) + "/fd/";
  EXPECT_EQ(fs::read_symlink(fd_directory + "0"), "/dev/null");
  EXPECT_EQ(fs::read_symlink(fd_directory + "1"),
            fs::canonical(rig.replica_directory("r1") + "/log"));
  for (const auto& entry : fs::directory_iterator(fd_directory)) {
    const int fd = std::stoi(entry.path().filename().string());
    const std::string target = fs::read_symlink(entry.path()).string();
    // Beyond the first three it has its own listening socket, and connections of ours.
    EXPECT_TRUE(fd <= 2 || target.starts_with("socket:")) << target;
  }
  const auto environment = environment_of(state.pid);
  EXPECT_TRUE(environment.contains("GREETING=hello"));
  EXPECT_TRUE(environment.contains("FROM_CATALOGUE=yes"));
  EXPECT_TRUE(environment.contains("STAITHE_REPLICA=r1"));
  EXPECT_TRUE(environment.contains("STAITHE_DEPLOYMENT=" + spec.deployment_id));
  EXPECT_FALSE(environment.contains("STAITHE_TOKEN=secret"));
  for (const std::string& entry : environment) EXPECT_FALSE(entry.starts_with("CUDA_")) << entry;
  EXPECT_EQ(read_stat(state.pid)->session, state.pid);
}

TEST(LocalDriver, an_engine_sees_the_gpus_of_its_slots_alone) {
  LocalRig rig;
  const std::string tool = rig.directory.make_file(
      "bin/nvidia-smi", "#!/bin/sh\nfor i in 1 2 3 4; do echo 'NVIDIA GB200'; done\n");
  ASSERT_EQ(::chmod(tool.c_str(), 0700), 0);
  rig.options.search_path = rig.directory.path() + "/bin:" + rig.options.search_path;
  rig.reopen();
  EXPECT_EQ(rig.driver().nodes().value()[0].gpu_count, 4U);
  ReplicaSpec spec = rig.make_spec("r1", Behaviour::normal);
  spec.parts = {{"node-1", {1, 3}}};

  const auto state = rig.driver().ensure(spec).value();

  ASSERT_TRUE(rig.wait_for("r1", ReplicaPhase::ready));
  const auto environment = environment_of(state.pid);
  EXPECT_TRUE(environment.contains("CUDA_VISIBLE_DEVICES=1,3"));
  EXPECT_TRUE(environment.contains("CUDA_DEVICE_ORDER=PCI_BUS_ID"));

  ReplicaSpec elsewhere = rig.make_spec("r2", Behaviour::normal);
  elsewhere.parts = {{"joined-1", {1}}};
  const auto joined = rig.driver().ensure(elsewhere).value();
  ASSERT_TRUE(rig.wait_for("r2", ReplicaPhase::ready));
  EXPECT_TRUE(environment_of(joined.pid).contains("CUDA_VISIBLE_DEVICES="))
      << "a node that joined brings no GPU of this machine";
}

TEST(LocalDriver, a_model_that_the_engine_serves_by_another_name_is_not_ready) {
  LocalRig rig;
  ReplicaSpec other = rig.make_spec("r1", Behaviour::normal);
  other.runtime.engine_config["other-name"] = "something/else";
  rig.driver().ensure(other).value();
  rig.driver().ensure(rig.make_spec("r2", Behaviour::normal)).value();
  ASSERT_TRUE(rig.wait_for("r2", ReplicaPhase::ready));
  EXPECT_EQ(rig.find("r1").value().phase, ReplicaPhase::starting);
}

TEST(LocalDriver, P12_an_engine_that_runs_but_cannot_be_reached_is_told_with_who_asked_what_where) {
  LocalRig rig;
  rig.driver().ensure(rig.make_spec("r1", Behaviour::normal)).value();
  ASSERT_TRUE(rig.wait_for("r1", ReplicaPhase::ready));
  const std::uint16_t port = rig.find("r1")->port;
  rig.set_healthy("r1", false);
  ASSERT_TRUE(rig.wait_for("r1", ReplicaPhase::starting));
  const std::string message = rig.find("r1")->message;
  EXPECT_NE(message.find("process runs"), std::string::npos) << message;
  EXPECT_NE(message.find(fmt::format("this server asked http://127.0.0.1:{}/health, which "
                                     "answered 503",
                                     port)),
            std::string::npos)
      << message;
}

TEST(Probe, P12_says_that_an_address_refuses_connections) {
  const SystemClock clock;
  net::EventLoop loop(clock);
  net::HttpClient client(loop);
  Probe probe(loop, client, std::chrono::milliseconds{5'000});
  // A port that is bound but not listened to refuses whoever comes.
  const auto closed = net::bind_to({.host = "127.0.0.1", .port = 0});
  ASSERT_TRUE(closed);
  std::string message;
  probe.run({.endpoint = {.host = "127.0.0.1", .port = closed->port}, .health_path = "/health"},
            ProbeDepth::health, [&](const Result<void>& outcome) {
              message = outcome ? "fine" : outcome.error().message;
              loop.stop();
            });
  loop.run();
  EXPECT_EQ(message, fmt::format("this server asked http://127.0.0.1:{}/health, which refused the "
                                 "connection or cannot be reached",
                                 closed->port));
}

TEST(LocalDriver, an_engine_configuration_that_is_not_advertised_is_refused_for_good) {
  LocalRig rig;
  ReplicaSpec spec = rig.make_spec("r1", Behaviour::normal);
  spec.runtime.engine_config["trust-remote-code"] = "true";
  const auto by_key = rig.driver().ensure(spec).value();
  EXPECT_EQ(by_key.reason, reason_configuration_refused);
  EXPECT_TRUE(by_key.is_terminal);
  EXPECT_NE(by_key.message.find("trust-remote-code"), std::string::npos);

  ReplicaSpec env = rig.make_spec("r2", Behaviour::normal);
  env.runtime.engine_env["LD_PRELOAD"] = "/tmp/evil.so";
  EXPECT_EQ(rig.driver().ensure(env).value().reason, reason_configuration_refused);
}

TEST(LocalDriver, a_missing_program_is_named) {
  LocalRig rig;
  const auto state = rig.driver().ensure(rig.make_spec("r1", Behaviour::program_missing)).value();
  EXPECT_NE(state.message.find("no-such-engine-anywhere"), std::string::npos);
  EXPECT_NE(state.message.find("/usr/bin"), std::string::npos);
}

TEST(LocalDriver, P11_a_crash_is_told_with_its_exit_code_and_last_lines) {
  LocalRig rig;
  rig.driver().ensure(rig.make_spec("r1", Behaviour::crashes)).value();
  ASSERT_TRUE(rig.wait_for("r1", ReplicaPhase::exited));
  const std::string message = rig.find("r1").value().message;
  EXPECT_NE(message.find("with code 3"), std::string::npos) << message;
  EXPECT_NE(message.find("\nout of memory"), std::string::npos) << message;
  EXPECT_EQ(rig.driver().log_lines("r1", 1).value(), std::vector<std::string>{"out of memory"});
}

TEST(LocalDriver, P11_crashes_are_followed_by_longer_and_longer_pauses) {
  FakeClock clock;
  LocalRig rig(&clock);
  rig.options.back_off = {};
  rig.reopen();
  const ReplicaSpec spec = rig.make_spec("r1", Behaviour::crashes);
  const auto crash = [&] { return rig.wait_for("r1", ReplicaPhase::exited); };
  rig.driver().ensure(spec).value();
  for (const auto pause_ms : {200, 400, 800, 1600}) {
    ASSERT_TRUE(crash());
    clock.advance(std::chrono::milliseconds{pause_ms - 1});
    EXPECT_EQ(rig.driver().ensure(spec).value().phase, ReplicaPhase::exited) << pause_ms;
    clock.advance(std::chrono::milliseconds{1});
    EXPECT_EQ(rig.driver().ensure(spec).value().phase, ReplicaPhase::starting) << pause_ms;
  }
  ASSERT_TRUE(crash());
  EXPECT_EQ(rig.find("r1").value().reason, reason_crash_loop);
}

TEST(LocalDriver, a_port_that_another_program_took_first_is_given_up_for_another_one) {
  LocalRig rig;
  rig.options.back_off = {};  // longer pauses than this test takes
  rig.options.back_off.delay_first = std::chrono::hours{1};
  rig.options.back_off.delay_max = std::chrono::hours{1};
  rig.reopen();
  // Takes the port of the engine while it starts: the engine loads python first.
  const ReplicaSpec spec = rig.make_spec("r1", Behaviour::normal);
  const auto first = rig.driver().ensure(spec).value();
  const UniqueFd thief(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(first.port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::bind(thief.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 ||
      ::listen(thief.get(), 1) != 0) {
    GTEST_SKIP() << "the engine was faster";
  }

  ASSERT_TRUE(rig.wait([&] {
    const auto state = rig.driver().ensure(spec).value();
    return state.phase == ReplicaPhase::ready;
  }));
  EXPECT_NE(rig.find("r1").value().port, first.port);
}

TEST(LocalDriver, many_callers_at_once_start_one_process) {
  LocalRig rig;
  const ReplicaSpec spec = rig.make_spec("r1", Behaviour::normal);
  std::mutex mutex;
  std::set<std::int64_t> pids;
  {
    std::vector<Thread> callers;
    for (int i = 0; i < 8; ++i) {
      callers.emplace_back("caller", [&] {
        const auto state = rig.driver().ensure(spec).value();
        const std::lock_guard lock(mutex);
        pids.insert(state.pid);
      });
    }
  }
  EXPECT_EQ(pids.size(), 1U);
}

TEST(LocalDriver, an_id_that_is_no_file_name_is_refused) {
  LocalRig rig;
  for (const std::string id : {"", "..", "a/b", "../../etc", ".hidden"}) {
    ReplicaSpec spec = rig.make_spec("r1", Behaviour::normal);
    spec.id = id;
    EXPECT_EQ(rig.driver().ensure(spec).error().code, Code::invalid_argument) << id;
    EXPECT_EQ(rig.driver().stop(id).error().code, Code::invalid_argument) << id;
    EXPECT_EQ(rig.driver().log_lines(id, 1).error().code, Code::invalid_argument) << id;
  }
}

TEST(LocalDriver, the_files_of_a_replica_are_for_their_owner_alone) {
  LocalRig rig;
  rig.driver().ensure(rig.make_spec("r1", Behaviour::normal)).value();
  const auto others = fs::perms::group_all | fs::perms::others_all;
  for (const char* name : {"", "/log", "/replica.json"}) {
    const auto status = fs::status(rig.replica_directory("r1") + name);
    EXPECT_EQ(status.permissions() & others, fs::perms::none) << name;
  }
}

TEST(LocalDriver, an_unusable_data_directory_is_an_error_that_names_it) {
  LocalRig rig;
  LocalOptions options = rig.options;
  options.data_directory = "/dev/null/data";
  SystemClock clock;
  SystemRandom random;
  Log log;
  Metrics metrics;
  const auto opened =
      LocalDriver::open(options, test_engines(), Weights({}), clock, random, log, metrics);
  ASSERT_FALSE(opened.has_value());
  EXPECT_NE(opened.error().message.find("/dev/null/data"), std::string::npos);
}

}  // namespace
}  // namespace staithe::runtime::testing
