#include "runtime/local/local_driver.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <system_error>
#include <utility>

namespace staithe::runtime {
namespace {

constexpr std::chrono::milliseconds first_probes_wait{500};
constexpr std::chrono::seconds log_look_interval{10};

// Names the installation: engines of another data directory are none of our business.
std::string make_data_mark(std::string_view canonical_path) {
  // FNV-1a, 64 bits (RFC 9923).
  std::uint64_t hash = 14'695'981'039'346'656'037ULL;
  for (const char letter : canonical_path) {
    hash = (hash ^ static_cast<unsigned char>(letter)) * 1'099'511'628'211ULL;
  }
  return fmt::format("{:016x}", hash);
}

Result<std::string> make_engines_directory(const std::string& data_directory) {
  namespace fs = std::filesystem;
  std::error_code problem;
  const fs::path directory = fs::path(data_directory) / "engines";
  fs::create_directories(directory, problem);
  if (!problem) fs::permissions(directory, fs::perms::owner_all, problem);
  fs::path canonical;
  if (!problem) canonical = fs::canonical(directory, problem);
  if (problem) {
    return Error{.code = Code::unavailable,
                 .message = fmt::format("the data directory {} cannot be used: {}", data_directory,
                                        problem.message())};
  }
  return canonical.string();
}

Error unusable_id(const model::Id& id) {
  return Error{.code = Code::invalid_argument,
               .message = fmt::format("{} cannot name a replica", id)};
}

}  // namespace

template <typename Work>
auto LocalDriver::post_and_wait(Work work) {
  std::promise<decltype(work())> promise;
  loop_.post([&work, &promise] { promise.set_value(work()); });
  return promise.get_future().get();
}

template <typename Work>
auto LocalDriver::call(Work work) {
  return loop_.is_loop_thread() ? work() : post_and_wait(std::move(work));
}

Result<std::unique_ptr<LocalDriver>> LocalDriver::open(LocalOptions options,
                                                       EngineCatalogue engines, Weights weights,
                                                       const Clock& clock, Random& random,
                                                       const Log& log, Metrics& metrics) {
  if (options.ports.first > options.ports.last) {
    return Error{.code = Code::invalid_argument,
                 .message = fmt::format("the engine ports {} to {} are no range: write the lower "
                                        "port first",
                                        options.ports.first, options.ports.last)};
  }
  TRY_ASSIGN(auto engines_directory, make_engines_directory(options.data_directory));
  TRY_ASSIGN(auto inventory, take_inventory(options.inventory, options.search_path));
  std::unique_ptr<LocalDriver> driver(new LocalDriver(std::move(options), std::move(engines),
                                                      std::move(weights), std::move(inventory),
                                                      clock, random, log, metrics));
  LocalDriver& self = *driver;
  self.context_.data_mark = make_data_mark(engines_directory);
  self.context_.engines_directory = std::move(engines_directory);
  self.thread_ = Thread("local-driver", [&self] { self.loop_.run(); });
  // Never inline: until its first turn the loop takes the thread that made it for its own.
  const std::size_t asked_count = self.post_and_wait([&self] { return self.recover(); });
  if (asked_count > 0) self.first_probes_done_.get_future().wait_for(first_probes_wait);
  return driver;
}

LocalDriver::LocalDriver(LocalOptions options, EngineCatalogue engines, Weights weights,
                         Inventory inventory, const Clock& clock, Random& random, const Log& log,
                         Metrics& metrics)
    : options_(std::move(options)),
      engines_(std::move(engines)),
      weights_(std::move(weights)),
      inventory_(std::move(inventory)),
      loop_(clock),
      client_(std::make_unique<net::HttpClient>(loop_)),
      context_{.options = options_,
               .loop = loop_,
               .client = *client_,
               .random = random,
               .log = log,
               .metrics = metrics,
               .owner = *this,
               .engines_directory = {},
               .data_mark = {},
               .boot_id = read_boot_id(),
               .gpu_node_id = inventory_.gpu_node_id} {}

LocalDriver::~LocalDriver() {
  if (!thread_.is_running()) return;
  call([this] {
    listener_ = nullptr;
    replicas_.clear();
    client_.reset();
    return true;
  });
  loop_.stop();
  thread_.join();
}

// ---- Driver

Result<std::vector<model::Node>> LocalDriver::nodes() {
  return inventory_.nodes;
}

Result<ReplicaState> LocalDriver::ensure(const ReplicaSpec& spec) {
  if (!ReplicaFiles::is_usable_id(spec.id)) return unusable_id(spec.id);
  if (auto seen = call([this, &spec] { return observe(spec); })) return *seen;
  const auto launch = prepare(spec);
  return call([this, &spec, &launch] {
    // Another caller may have started it while this one was looking for weights.
    if (auto seen = observe(spec)) return *seen;
    LocalReplica& replica = find_or_add(spec.id, spec.deployment_id);
    if (launch.has_value()) {
      replica.start(*launch);
    } else {
      replica.refuse(launch.error());
    }
    return replica.state();
  });
}

Result<bool> LocalDriver::stop(const model::Id& replica_id) {
  if (!ReplicaFiles::is_usable_id(replica_id)) return unusable_id(replica_id);
  return call([this, &replica_id] {
    const auto found = replicas_.find(replica_id);
    return found == replicas_.end() || found->second->request_stop();
  });
}

Result<std::vector<ReplicaState>> LocalDriver::list() {
  return call([this] {
    std::vector<ReplicaState> states;
    states.reserve(replicas_.size());
    for (const auto& [id, replica] : replicas_) states.push_back(replica->state());
    return states;
  });
}

Result<std::vector<ReplicaState>> LocalDriver::replicas_of(const model::Id& deployment_id) {
  return call([this, &deployment_id] {
    std::vector<ReplicaState> states;
    for (const auto& [id, replica] : replicas_) {
      if (replica->deployment_id() == deployment_id) states.push_back(replica->state());
    }
    return states;
  });
}

Result<std::vector<std::string>> LocalDriver::log_lines(const model::Id& replica_id,
                                                        std::size_t count) {
  if (!ReplicaFiles::is_usable_id(replica_id)) return unusable_id(replica_id);
  const ReplicaFiles files(context_.engines_directory, replica_id);
  if (!files.exists()) {
    return Error{.code = Code::not_found,
                 .message = fmt::format("no replica {} has run here", replica_id)};
  }
  return EngineLog(files.log_path()).last_lines(count);
}

void LocalDriver::set_listener(std::function<void(const model::Id& deployment_id)> on_change) {
  call([this, &on_change] {
    listener_ = std::move(on_change);
    return true;
  });
}

// ---- starting

std::optional<ReplicaState> LocalDriver::observe(const ReplicaSpec& spec) {
  const auto found = replicas_.find(spec.id);
  if (found == replicas_.end() || found->second->wants_start()) return std::nullopt;
  LocalReplica& replica = *found->second;
  const Engine* engine = engines_.find(spec.runtime.engine);
  if (!replica.is_complete() && engine != nullptr) replica.complete(spec, *engine);
  return replica.state();
}

LocalReplica& LocalDriver::find_or_add(const model::Id& id, const model::Id& deployment_id) {
  auto& replica = replicas_[id];
  if (replica == nullptr) replica = std::make_unique<LocalReplica>(context_, id, deployment_id);
  return *replica;
}

// Reads only what never changes, so it runs on the caller's thread.
Result<Launch> LocalDriver::prepare(const ReplicaSpec& spec) const {
  const auto with_reason = [](Error error, std::string_view reason) {
    error.reason = reason;
    return error;
  };
  const Engine* engine = engines_.find(spec.runtime.engine);
  if (engine == nullptr) {
    return with_reason(
        {.code = Code::not_found,
         .message = fmt::format("engine {} is not configured on this server", spec.runtime.engine)},
        reason_engine_missing);
  }
  Launch launch{.spec = spec,
                .engine = *engine,
                .program = {},
                .values = {.model_name = spec.model.name,
                           .version = spec.runtime.version,
                           .concurrency = spec.concurrency,
                           .gpus = model::count_gpus(spec.parts)}};
  if (engine->needs_weights) {
    TRY_ASSIGN(launch.values.model_dir,
               weights_.find_directory(spec.model.bucket, spec.model.path));
    if (uses_placeholder(*engine, "{model_file}")) {
      TRY_ASSIGN(launch.values.model_file, weights_.find_gguf(spec.model.bucket, spec.model.path));
    }
  }
  if (auto checked = check_engine_env(*engine, spec.runtime.engine_env); !checked.has_value()) {
    return with_reason(std::move(checked).error(), reason_configuration_refused);
  }
  // The program is the only part of a command that is needed before its port is known.
  auto command = make_command(*engine, launch.values, spec.runtime.engine_config);
  if (!command.has_value()) {
    return with_reason(std::move(command).error(), reason_configuration_refused);
  }
  auto program = find_program(command->front(), options_.search_path);
  if (!program.has_value()) {
    return with_reason(std::move(program).error(), reason_engine_missing);
  }
  launch.program = std::move(program).value();
  return launch;
}

// ---- taking over

std::size_t LocalDriver::recover() {
  const auto marked = find_marked(context_.data_mark);
  const auto ids = ReplicaFiles::find_ids(context_.engines_directory);
  for (const std::string& id : ids) recover_recorded(id, marked);
  recover_unrecorded(marked);
  for (const std::string& id : ids) {
    if (replicas_.contains(id)) continue;
    const auto removed = ReplicaFiles(context_.engines_directory, id).remove();
    if (!removed.has_value()) context_.log.warning("replica files not removed", {{"replica", id}});
  }
  keep_logs_small();
  return first_probes_due_;
}

void LocalDriver::recover_recorded(const model::Id& id, const std::vector<MarkedProcess>& marked) {
  const ReplicaFiles files(context_.engines_directory, id);
  const auto record = files.read();
  if (!record.has_value() || record->spec.id != id) {
    // A directory without a usable record is a leftover; if its process lives, the marker tells.
    context_.log.warning("replica record not readable", {{"replica", id}});
    return;
  }
  LocalReplica& replica = find_or_add(id, record->spec.deployment_id);
  auto process = find_process(*record, marked);
  if (!process.has_value()) return replica.note_lost(*record);
  const Engine* engine = engines_.find(record->spec.runtime.engine);
  if (engine != nullptr) first_probes_due_ += 1;
  replica.adopt(std::move(*process), *record, engine);
}

// What has a marker and no record: the record was lost.
void LocalDriver::recover_unrecorded(const std::vector<MarkedProcess>& marked) {
  const auto is_news = [this](const Marker& marker) {
    return ReplicaFiles::is_usable_id(marker.replica_id) && !replicas_.contains(marker.replica_id);
  };
  for (const auto& [identity, marker, is_leader] : marked) {
    if (!is_leader || !is_news(marker)) continue;
    auto process = Process::open(identity);
    if (!process.has_value()) continue;
    ReplicaRecord record;
    record.port = marker.port;
    find_or_add(marker.replica_id, marker.deployment_id)
        .adopt(std::move(*process), record, nullptr);
  }
  // The engine is gone and something it had started is not: listed, so that it gets stopped.
  for (const auto& [identity, marker, is_leader] : marked) {
    if (!is_news(marker)) continue;
    find_or_add(marker.replica_id, marker.deployment_id).note_lost({});
  }
}

std::optional<Process> LocalDriver::find_process(const ReplicaRecord& record,
                                                 const std::vector<MarkedProcess>& marked) const {
  if (record.boot_id == context_.boot_id) {
    // Within one boot, pid and start time are enough; a marker that says otherwise is believed, and
    // a missing one is not held against it, because programs that set their title overwrite it.
    const auto marker = read_marker(record.process.pid);
    const bool is_contradicted = marker.has_value() && (marker->data_mark != context_.data_mark ||
                                                        marker->replica_id != record.spec.id);
    if (!is_contradicted) {
      if (auto process = Process::open(record.process)) return process;
    }
  }
  // We went down between starting it and writing its pid.
  for (const MarkedProcess& found : marked) {
    const bool is_its_own = found.is_leader && found.marker.replica_id == record.spec.id &&
                            found.marker.port == record.port;
    if (!is_its_own) continue;
    if (auto process = Process::open(found.identity)) return process;
  }
  return std::nullopt;
}

void LocalDriver::keep_logs_small() {
  for (const auto& [id, replica] : replicas_) replica->rotate_log();
  loop_.run_after(log_look_interval, [this] { keep_logs_small(); });
}

// ---- ReplicaOwner

void LocalDriver::on_changed(const LocalReplica& replica) {
  if (changed_deployments_.empty()) {
    loop_.at_end_of_turn([this] {
      const auto changed = std::exchange(changed_deployments_, {});
      for (const model::Id& deployment_id : changed) {
        // A copy, since a listener may replace itself.
        if (const auto listener = listener_) listener(deployment_id);
      }
    });
  }
  changed_deployments_.insert(replica.deployment_id());
}

void LocalDriver::on_first_probe() {
  if (first_probes_due_ > 0 && --first_probes_due_ == 0) first_probes_done_.set_value();
}

void LocalDriver::on_gone(const model::Id& replica_id) {
  const auto found = replicas_.find(replica_id);
  loop_.destroy_later(std::move(found->second));
  replicas_.erase(found);
}

std::set<std::uint16_t> LocalDriver::ports_in_use() const {
  std::set<std::uint16_t> ports;
  for (const auto& [id, replica] : replicas_) ports.insert(replica->port());
  return ports;
}

}  // namespace staithe::runtime
