#pragma once

#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>

#include <chrono>
#include <condition_variable>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/random.h"
#include "runtime/driver.h"
#include "runtime/fake/fake_driver.h"
#include "runtime/local/local_driver.h"

// What the tests of drivers share. Included by *_test.cc alone.
namespace staithe::runtime::testing {

// A real engine in miniature: a process that listens, loads for a while and answers. Its options
// come through engineConfig.
inline constexpr std::string_view engine_script = R"py(
import os, signal, socket, sys, threading, time
options = dict(zip(sys.argv[1::2], sys.argv[2::2]))
def option(name, default): return options.get('--' + name, default)
print('engine begins', flush=True)
if option('ignore-term', ''): signal.signal(signal.SIGTERM, signal.SIG_IGN)
if option('crash-code', ''):
    print('\x1b[31mout of memory\x1b[0m', flush=True)
    os._exit(int(option('crash-code', '')))
if option('children', ''):
    # One in this session, one in its own: both keep running until they are killed.
    for leaves in (False, True):
        pid = os.fork()
        if pid == 0:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            if leaves: os.setsid()
            while True: signal.pause()
        print('child', pid, flush=True)
ready_at = time.monotonic() + int(option('load-ms', '0')) / 1000
listener = socket.create_server((option('host', '127.0.0.1'), int(option('port', '0'))))
def answer(connection):
    path = connection.recv(65536).split(b' ')[1].decode()
    gate = option('gate-file', '')
    serving = time.monotonic() >= ready_at and (not gate or os.path.exists(gate))
    status, body = '503 Service Unavailable', '{}'
    if path == '/health' and serving: status, body = '200 OK', '{}'
    if path == '/v1/models':
        name = option('other-name', option('model', ''))
        status, body = '200 OK', '{"object":"list","data":[{"id":"' + name + '"}]}'
    connection.sendall(f'HTTP/1.1 {status}\r\nContent-Type: application/json\r\n'
                       f'Content-Length: {len(body)}\r\nConnection: close\r\n\r\n{body}'.encode())
    connection.close()
while True:
    connection, peer = listener.accept()
    threading.Thread(target=answer, args=(connection,), daemon=True).start()
)py";

inline constexpr std::string_view system_path = "/usr/local/bin:/usr/bin:/bin";

inline Engine test_engine() {
  return {.name = "test",
          .versions = {"1.0.0"},
          .allowed_keys = {"children", "crash-code", "gate-file", "ignore-term", "load-ms",
                           "other-name"},
          .allowed_env_names = {"GREETING"},
          .command = {"python3", "-S", "-E", "-c", std::string(engine_script), "--host", "{host}",
                      "--port", "{port}", "--model", "{model_name}", "{config}"},
          .env = {{"FROM_CATALOGUE", "yes"}}};
}

inline EngineCatalogue test_engines() {
  EngineCatalogue catalogue;
  catalogue.engines.emplace("test", test_engine());
  Engine missing = test_engine();
  missing.name = "missing";
  missing.command.front() = "no-such-engine-anywhere";
  catalogue.engines.emplace("missing", missing);
  return catalogue;
}

class TemporaryDirectory {
 public:
  TemporaryDirectory() {
    std::string name = (std::filesystem::temp_directory_path() / "staithe-test-XXXXXX").string();
    EXPECT_NE(::mkdtemp(name.data()), nullptr);
    path_ = name;
  }
  ~TemporaryDirectory() {
    std::error_code unused;
    std::filesystem::remove_all(path_, unused);
  }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;

  const std::string& path() const { return path_; }
  std::string make_file(const std::string& name, std::string_view text = "x") const {
    const std::filesystem::path file = std::filesystem::path(path_) / name;
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file) << text;
    return file.string();
  }

 private:
  std::string path_;
};

// Hears what a driver tells, and waits for things to become true without guessing how long.
class Ear {
 public:
  std::function<void(const model::Id&)> listener() {
    return [this](const model::Id& deployment_id) {
      const std::lock_guard lock(mutex_);
      heard_.push_back(deployment_id);
      changed_.notify_all();
    };
  }
  std::vector<model::Id> heard() const {
    const std::lock_guard lock(mutex_);
    return heard_;
  }
  // False after thirty seconds. `is_true` is asked at every change, and now and then for what no
  // driver tells. `advance` makes a clock that stands still go on; false: time is the real one.
  bool wait(const std::function<bool()>& is_true, const std::function<bool()>& advance = {}) {
    constexpr int turns_max = 6'000;
    for (int turn = 0; turn < turns_max; ++turn) {
      if (is_true()) return true;
      if (advance && advance()) continue;
      std::unique_lock lock(mutex_);
      const std::size_t count = heard_.size();
      changed_.wait_for(lock, std::chrono::milliseconds{5},
                        [this, count] { return heard_.size() != count; });
    }
    return false;
  }

 private:
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<model::Id> heard_;
};

enum class Behaviour {
  normal,
  loads_for_long,  // until Rig::finish_loading
  crashes,         // at every start
  ignores_term,
  program_missing,
  weights_missing,  // until Rig::put_weights
};

// One kind of driver and the means to arrange its world.
class Rig {
 public:
  virtual ~Rig() = default;
  virtual Driver& driver() = 0;
  virtual ReplicaSpec make_spec(const model::Id& id, Behaviour behaviour) = 0;
  virtual void finish_loading() = 0;
  virtual void put_weights() = 0;
  virtual void crash(const model::Id& id) = 0;
  virtual void set_healthy(const model::Id& id, bool is_healthy) = 0;
  // A process of ours that runs and that no store knows.
  virtual void add_orphan(const model::Id& id, const model::Id& deployment_id) = 0;
  virtual bool let_time_pass() { return false; }

  Ear ear;

  bool wait(const std::function<bool()>& is_true) {
    return ear.wait(is_true, [this] { return let_time_pass(); });
  }
  std::optional<ReplicaState> find(const model::Id& id) {
    auto states = driver().list().value();
    for (ReplicaState& state : states) {
      if (state.id == id) return std::move(state);
    }
    return std::nullopt;
  }
  bool wait_for(const model::Id& id, ReplicaPhase phase) {
    return wait([this, &id, phase] {
      const auto state = find(id);
      return state.has_value() && state->phase == phase;
    });
  }
  bool stop_and_wait(const model::Id& id) {
    return wait([this, &id] { return driver().stop(id).value(); });
  }

 protected:
  static ReplicaSpec base_spec(const model::Id& id) {
    return {.id = id,
            .deployment_id = "deployment-of-" + id,
            .organization_id = "cw0001",
            .parts = {{"node-1", {0}}},
            .runtime = {.engine = "test", .version = "1.0.0"},
            .model = {.name = "org/model", .bucket = "models", .path = "/tiny/"}};
  }
};

class FakeRig final : public Rig {
 public:
  FakeRig() {
    driver_.add_node({.id = "node-1",
                      .zone = "US-LOCAL-01A",
                      .instance_type = "cpu-1x",  //
                      .gpu_count = 1});
    driver_.set_listener(ear.listener());
  }
  FakeDriver& driver() override { return driver_; }
  ReplicaSpec make_spec(const model::Id& id, Behaviour behaviour) override {
    const ReplicaSpec spec = base_spec(id);
    FakeScript script{.start_delay = std::chrono::milliseconds{50}};
    if (behaviour == Behaviour::loads_for_long) script.start_delay = std::chrono::hours{1};
    if (behaviour == Behaviour::crashes) script.crash_count = 1'000;
    if (behaviour == Behaviour::ignores_term) script.stop_delay = std::chrono::milliseconds{300};
    if (behaviour == Behaviour::program_missing) {
      script.failure = {std::string(reason_engine_missing), "no program", false};
    }
    if (behaviour == Behaviour::weights_missing) {
      script.failure = {std::string(reason_path_not_found), "path does not exist", false};
      without_weights_.push_back(spec.deployment_id);
    }
    driver_.script(spec.deployment_id, script);
    return spec;
  }
  void finish_loading() override { clock_.advance(std::chrono::hours{1}); }
  void put_weights() override {
    for (const model::Id& id : without_weights_) driver_.script(id, FakeScript{});
  }
  void crash(const model::Id& id) override { driver_.crash(id, "the engine ended on signal 9"); }
  void set_healthy(const model::Id& id, bool is_healthy) override {
    driver_.set_healthy(id, is_healthy);
  }
  void add_orphan(const model::Id& id, const model::Id& deployment_id) override {
    driver_.add_orphan(id, deployment_id);
  }
  bool let_time_pass() override {
    clock_.advance(std::chrono::milliseconds{10});
    driver_.settle();
    return true;
  }

 private:
  FakeClock clock_;
  FakeDriver driver_{clock_};
  std::vector<model::Id> without_weights_;
};

class LocalRig final : public Rig {
 public:
  explicit LocalRig(const Clock* clock = nullptr) : clock_(clock == nullptr ? system_ : *clock) {
    options.data_directory = directory.path() + "/data";
    options.search_path = system_path;
    options.environment = {{"PATH", std::string(system_path)}, {"STAITHE_TOKEN", "secret"}};
    options.inventory.node_id = "node-1";
    options.ports = {};
    options.stop_grace = std::chrono::milliseconds{300};
    options.probe.ready = std::chrono::milliseconds{20};
    options.back_off.delay_first = std::chrono::milliseconds{10};
    options.back_off.delay_max = std::chrono::milliseconds{40};
    directory.make_file("buckets/models/tiny/config.json");
    reopen();
  }
  ~LocalRig() override {
    if (driver_ == nullptr) reopen();
    const auto states = driver_->list().value();
    for (const ReplicaState& state : states) {
      EXPECT_TRUE(stop_and_wait(state.id));
    }
  }
  LocalDriver& driver() override { return *driver_; }
  void close() { driver_.reset(); }
  // What a restart of the server does.
  void reopen() {
    close();
    auto opened =
        LocalDriver::open(options, engines, Weights({.root = directory.path() + "/buckets"}),
                          clock_, random_, log_, metrics_);
    ASSERT_TRUE(opened.has_value()) << opened.error().message;
    driver_ = std::move(opened).value();
    driver_->set_listener(ear.listener());
  }
  std::string replica_directory(const model::Id& id) const {
    return options.data_directory + "/engines/" + id;
  }
  std::string gate_file() const { return directory.path() + "/gate"; }

  ReplicaSpec make_spec(const model::Id& id, Behaviour behaviour) override {
    ReplicaSpec spec = base_spec(id);
    auto& config = spec.runtime.engine_config;
    if (behaviour == Behaviour::normal) {
      directory.make_file("gate");
      config["gate-file"] = gate_file();
    }
    if (behaviour == Behaviour::loads_for_long) config["gate-file"] = gate_file();
    if (behaviour == Behaviour::crashes) config["crash-code"] = "3";
    if (behaviour == Behaviour::ignores_term) config["ignore-term"] = "1";
    if (behaviour == Behaviour::program_missing) spec.runtime.engine = "missing";
    if (behaviour == Behaviour::weights_missing) spec.model.path = "later";
    return spec;
  }
  void finish_loading() override { directory.make_file("gate"); }
  void put_weights() override { directory.make_file("buckets/models/later/config.json"); }
  void crash(const model::Id& id) override { ::kill(static_cast<pid_t>(find(id)->pid), SIGKILL); }
  void set_healthy(const model::Id&, bool is_healthy) override {
    if (is_healthy) {
      directory.make_file("gate");
    } else {
      std::filesystem::remove(gate_file());
    }
  }
  void add_orphan(const model::Id& id, const model::Id& deployment_id) override {
    ReplicaSpec spec = make_spec(id, Behaviour::normal);
    spec.deployment_id = deployment_id;
    ASSERT_EQ(driver().ensure(spec).value().phase, ReplicaPhase::starting);
    close();
    std::filesystem::remove_all(replica_directory(id));
    reopen();
  }

  TemporaryDirectory directory;
  LocalOptions options;
  EngineCatalogue engines = test_engines();

 private:
  SystemClock system_;
  const Clock& clock_;
  SystemRandom random_;
  Log log_{2, LogLevel::error};
  Metrics metrics_;
  std::unique_ptr<LocalDriver> driver_;
};

}  // namespace staithe::runtime::testing
