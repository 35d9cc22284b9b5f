#include "runtime/local/local_replica.h"

#include <fmt/format.h>
#include <signal.h>
#include <sys/epoll.h>

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace staithe::runtime {
namespace {

constexpr std::string_view loopback = "127.0.0.1";
constexpr Duration sweep_delay_min = std::chrono::milliseconds{5};
constexpr Duration sweep_delay_max = std::chrono::milliseconds{500};

ProbeTarget make_target(const Engine& engine, const ReplicaSpec& spec, std::uint16_t port) {
  return {.endpoint = {.host = std::string(loopback), .port = port},
          .health_path = engine.health_path,
          .models_path = engine.ready_path,
          .model_name = spec.model.name};
}

}  // namespace

LocalReplica::LocalReplica(ReplicaContext& context, model::Id id, model::Id deployment_id)
    : context_(context),
      files_(context.engines_directory, id),
      log_file_(files_.log_path()),
      prober_(context.loop, context.client, context.options.probe.timeout),
      back_off_(context.options.back_off) {
  state_.id = std::move(id);
  state_.deployment_id = std::move(deployment_id);
  state_.host = loopback;
  state_.phase = ReplicaPhase::failed;  // until the first start()
  state_.since = context_.loop.now();
}

LocalReplica::~LocalReplica() {
  if (process_.has_value()) context_.loop.unwatch(process_->exit_fd());
  context_.loop.cancel(probe_timer_);
  context_.loop.cancel(stop_timer_);
  context_.loop.cancel(restart_timer_);
}

bool LocalReplica::wants_start() const {
  if (state_.phase == ReplicaPhase::failed) return true;
  return state_.phase == ReplicaPhase::exited &&
         context_.loop.clock().instant() >= back_off_.restart_at();
}

void LocalReplica::set_phase(ReplicaPhase phase, std::string_view reason, std::string message) {
  const bool is_news =
      state_.phase != phase || state_.reason != reason || state_.message != message;
  if (!is_news) return;
  if (state_.phase != phase) state_.since = context_.loop.now();
  state_.phase = phase;
  state_.reason = reason;
  state_.message = std::move(message);
  context_.owner.on_changed(*this);
}

void LocalReplica::fail(std::string_view reason, std::string message) {
  state_.pid = 0;
  state_.port = 0;
  state_.is_terminal = reason == reason_invalid_model || reason == reason_configuration_refused;
  set_phase(ReplicaPhase::failed, reason, std::move(message));
}

void LocalReplica::refuse(const Error& error) {
  CHECK(!process_.has_value());
  context_.loop.cancel(std::exchange(restart_timer_, 0));
  fail(error.reason, error.message);
}

// ---- starting

void LocalReplica::start(const Launch& launch) {
  CHECK(!process_.has_value());
  context_.loop.cancel(std::exchange(restart_timer_, 0));
  const bool ran_before = session_.pid != 0 || files_.exists();
  if (ran_before && !kill_leftovers()) {
    return fail(reason_start_failed, "processes of its last run are still ending");
  }
  is_complete_ = true;
  record_.spec = launch.spec;
  if (const auto started = spawn(launch); !started.has_value()) {
    return fail(started.error().reason, started.error().message);
  }
  back_off_.on_start(context_.loop.now());
  state_.restarts = back_off_.restarts();
  context_.metrics
      .counter("staithe_engine_starts_total", "Engine processes started.",
               {{"engine", launch.engine.name}})
      .add();
  context_.log.info("engine started", {{"replica", id()},
                                       {"engine", launch.engine.name},
                                       {"pid", state_.pid},
                                       {"port", state_.port},
                                       {"restarts", state_.restarts}});
  set_phase(ReplicaPhase::starting, {}, {});
  probe_delay_ = context_.options.probe.starting_min;
  schedule_probe(probe_delay_);
}

// The order survives a crash of ours between any two steps: the record without a pid says that a
// process may exist, and the marker in the process's environment finds it.
Result<void> LocalReplica::spawn(const Launch& launch) {
  const auto as_start_failure = [](Error error) {
    error.reason = reason_start_failed;
    return error;
  };
  auto port = choose_port(context_.options.ports, context_.owner.ports_in_use(), context_.random);
  if (!port.has_value()) return as_start_failure(std::move(port).error());

  CommandValues values = launch.values;
  values.host = loopback;
  values.port = *port;
  auto arguments = make_command(launch.engine, values, launch.spec.runtime.engine_config);
  if (!arguments.has_value()) {
    Error error = std::move(arguments).error();
    error.reason = reason_configuration_refused;
    return error;
  }

  record_ = {.spec = launch.spec, .port = *port, .boot_id = context_.boot_id, .process = {}};
  auto written = files_.create();
  if (written.has_value()) written = files_.write(record_);
  if (!written.has_value()) return as_start_failure(std::move(written).error());
  log_file_.begin();

  auto process = Process::spawn({.program = launch.program,
                                 .arguments = std::move(arguments).value(),
                                 .environment = environment(launch, *port),
                                 .working_directory = files_.directory(),
                                 .output_path = files_.log_path()});
  if (!process.has_value()) {
    Error error = std::move(process).error();
    error.reason = error.code == Code::not_found ? reason_engine_missing : reason_start_failed;
    return error;
  }
  record_.process = process->identity();
  if (const auto saved = files_.write(record_); !saved.has_value()) {
    // It runs, and its marker finds it again without the record.
    context_.log.warning("replica record not written",
                         {{"replica", id()}, {"error", saved.error().message}});
  }
  target_ = make_target(launch.engine, launch.spec, *port);
  state_.port = *port;
  watch(std::move(process).value());
  return {};
}

std::vector<std::string> LocalReplica::environment(const Launch& launch, std::uint16_t port) const {
  auto variables = context_.options.environment;
  for (const auto& [name, value] : launch.engine.env) variables[name] = value;
  for (const auto& [name, value] : launch.spec.runtime.engine_env) variables[name] = value;
  if (!context_.gpu_node_id.empty()) {
    // Slots count as nvidia-smi does; CUDA's own order would be fastest first. The slots of a node
    // that joined are no GPUs of this machine.
    const model::ReplicaPart& part = launch.spec.parts.front();
    variables["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID";
    variables["CUDA_VISIBLE_DEVICES"] = part.node_id == context_.gpu_node_id
                                            ? fmt::format("{}", fmt::join(part.gpu_slots, ","))
                                            : std::string{};
  }
  std::erase_if(variables, [](const auto& entry) { return entry.first.starts_with("STAITHE_"); });
  auto result = marker_environment({.data_mark = context_.data_mark,
                                    .replica_id = id(),
                                    .deployment_id = deployment_id(),
                                    .port = port});
  for (const auto& [name, value] : variables) result.push_back(fmt::format("{}={}", name, value));
  return result;
}

void LocalReplica::watch(Process process) {
  session_ = process.identity();
  state_.pid = session_.pid;
  state_.is_terminal = false;
  started_at_ = context_.loop.now();
  probe_failures_ = 0;
  process_ = std::move(process);
  context_.loop.watch(process_->exit_fd(), EPOLLIN, *this);
}

// ---- an earlier run's

void LocalReplica::adopt(Process process, const ReplicaRecord& record, const Engine* engine) {
  CHECK(!process_.has_value());
  record_ = record;
  state_.port = record.port;
  watch(std::move(process));
  set_phase(ReplicaPhase::starting, {}, {});
  back_off_.on_start(context_.loop.now());
  context_.metrics.counter("staithe_engines_adopted_total", "Engine processes taken over.").add();
  context_.log.info("engine adopted", {{"replica", id()}, {"pid", state_.pid}});
  if (engine == nullptr) return;
  is_complete_ = true;
  is_first_probe_due_ = true;
  target_ = make_target(*engine, record.spec, record.port);
  probe_delay_ = context_.options.probe.starting_min;
  probe();
}

void LocalReplica::complete(const ReplicaSpec& spec, const Engine& engine) {
  if (is_complete_ || !process_.has_value()) return;
  is_complete_ = true;
  record_.spec = spec;
  record_.boot_id = context_.boot_id;
  record_.process = process_->identity();
  state_.deployment_id = spec.deployment_id;
  auto written = files_.create();
  if (written.has_value()) written = files_.write(record_);
  if (!written.has_value()) {
    context_.log.warning("replica record not written",
                         {{"replica", id()}, {"error", written.error().message}});
  }
  target_ = make_target(engine, spec, record_.port);
  probe_delay_ = context_.options.probe.starting_min;
  if (state_.phase == ReplicaPhase::starting) probe();
}

void LocalReplica::note_lost(const ReplicaRecord& record) {
  record_ = record;
  set_phase(ReplicaPhase::exited, {}, "its process was gone when the server started");
}

// ---- ending

void LocalReplica::on_ready(std::uint32_t) {
  CHECK(process_.has_value());
  context_.loop.unwatch(process_->exit_fd());
  // Before it is reaped its group cannot be mistaken for another; what it leaves behind would keep
  // its memory and GPUs.
  process_->signal_group(SIGKILL);
  const ProcessExit exit = process_->reap();
  process_.reset();
  prober_.cancel();
  context_.loop.cancel(std::exchange(probe_timer_, 0));
  context_.client.forget(target_.endpoint);
  if (std::exchange(is_first_probe_due_, false)) context_.owner.on_first_probe();
  on_exit(exit);
}

void LocalReplica::on_exit(const ProcessExit& exit) {
  const Instant now = context_.loop.now();
  const std::int64_t pid = std::exchange(state_.pid, 0);
  const std::uint16_t port = std::exchange(state_.port, 0);
  if (state_.phase == ReplicaPhase::stopping) {
    context_.loop.cancel(std::exchange(stop_timer_, 0));
    sweep_delay_ = sweep_delay_min;
    return sweep();
  }
  context_.metrics.counter("staithe_engine_exits_total", "Engine processes that ended unasked.")
      .add();
  context_.log.warning("engine exited", {{"replica", id()}, {"pid", pid}, {"how", describe(exit)}});
  kill_leftovers();

  const auto lived_ms =
      std::chrono::duration_cast<std::chrono::milliseconds>(now - started_at_).count();
  std::string message =
      fmt::format("the engine ended {} after {:.1f} s", describe(exit), lived_ms / 1000.0);
  if (state_.phase == ReplicaPhase::starting && state_.reason.empty() && !is_port_free(port)) {
    back_off_.on_port_lost(now);
    message += fmt::format("; its port {} was taken by another program meanwhile", port);
  } else {
    back_off_.on_exit(now);
  }
  const bool is_crash_loop = back_off_.is_crash_loop();
  state_.is_terminal = is_crash_loop && !back_off_.was_ever_ready();
  set_phase(ReplicaPhase::exited, is_crash_loop ? reason_crash_loop : std::string_view{},
            with_log_lines(std::move(message)));

  // Whoever waits for the back-off is told when it has passed.
  restart_timer_ = context_.loop.run_after(back_off_.restart_at() - now, [this] {
    restart_timer_ = 0;
    context_.owner.on_changed(*this);
  });
}

std::string LocalReplica::with_log_lines(std::string message) const {
  constexpr std::size_t line_count = 8;
  const auto lines = log_file_.last_lines_of_this_run(line_count);
  if (lines.empty()) return message + "; it wrote nothing";
  message += "; its last lines:";
  for (const std::string& line : lines) message += "\n" + line;
  return message;
}

// ---- readiness

void LocalReplica::schedule_probe(Duration delay) {
  context_.loop.cancel(probe_timer_);
  probe_timer_ = context_.loop.run_after(delay, [this] {
    probe_timer_ = 0;
    probe();
  });
}

void LocalReplica::probe() {
  const bool is_known_ready = state_.phase == ReplicaPhase::ready;
  prober_.run(target_, is_known_ready ? ProbeDepth::health : ProbeDepth::readiness,
              [this](const Result<void>& outcome) { on_probed(outcome); });
}

void LocalReplica::on_probed(const Result<void>& outcome) {
  const ProbeOptions& options = context_.options.probe;
  const bool is_ready = state_.phase == ReplicaPhase::ready;
  if (outcome) {
    probe_failures_ = 0;
    back_off_.on_ready(context_.loop.now());
    set_phase(ReplicaPhase::ready, {}, {});
    schedule_probe(options.ready);
  } else if (is_ready && ++probe_failures_ < options.failures_max) {
    schedule_probe(std::min<Duration>(options.ready, options.starting_max));
  } else if (is_ready) {
    context_.log.warning(
        "engine stopped answering",
        {{"replica", id()}, {"pid", state_.pid}, {"why", outcome.error().message}});
    set_phase(ReplicaPhase::starting, reason_health_check_failed,
              fmt::format("The engine's process runs, but it failed {} health checks in a row: {}",
                          options.failures_max, outcome.error().message));
    probe_delay_ = options.starting_max;
    schedule_probe(probe_delay_);
  } else {
    probe_delay_ = std::min<Duration>(probe_delay_ * 3 / 2, options.starting_max);
    schedule_probe(probe_delay_);
  }
  if (std::exchange(is_first_probe_due_, false)) context_.owner.on_first_probe();
}

// ---- stopping

bool LocalReplica::request_stop() {
  if (state_.phase == ReplicaPhase::stopping) return false;
  context_.loop.cancel(std::exchange(restart_timer_, 0));
  if (!process_.has_value()) {
    if (kill_leftovers()) {
      remove();
      return true;
    }
    set_phase(ReplicaPhase::stopping, {}, {});
    sweep_delay_ = sweep_delay_min;
    stop_timer_ = context_.loop.run_after(sweep_delay_, [this] { sweep(); });
    return false;
  }
  prober_.cancel();
  context_.loop.cancel(std::exchange(probe_timer_, 0));
  process_->signal_group(SIGTERM);
  set_phase(ReplicaPhase::stopping, {}, {});
  stop_timer_ = context_.loop.run_after(context_.options.stop_grace, [this] { kill_now(); });
  return false;
}

void LocalReplica::kill_now() {
  stop_timer_ = 0;
  if (!process_.has_value()) return;
  context_.log.warning("engine ignored TERM", {{"replica", id()}, {"pid", state_.pid}});
  context_.metrics
      .counter("staithe_engine_kills_total", "Engine processes that had to be killed to stop.")
      .add();
  process_->signal_group(SIGKILL);
}

bool LocalReplica::kill_leftovers() {
  // A process on its way out loses its environment, and so its marker, before it gives back its
  // GPUs: what was once known as a leftover is one until it has ended.
  std::erase_if(leftovers_, [](const ProcessIdentity& one) { return !is_running(one); });
  const auto members =
      find_members({.data_mark = context_.data_mark, .replica_id = id(), .session = session_});
  for (const ProcessIdentity& member : members) {
    kill_process(member);
    if (std::find(leftovers_.begin(), leftovers_.end(), member) == leftovers_.end()) {
      leftovers_.push_back(member);
    }
  }
  return leftovers_.empty();
}

void LocalReplica::sweep() {
  stop_timer_ = 0;
  if (kill_leftovers()) return remove();
  sweep_delay_ = std::min(sweep_delay_ * 2, sweep_delay_max);
  stop_timer_ = context_.loop.run_after(sweep_delay_, [this] { sweep(); });
}

void LocalReplica::remove() {
  if (const auto removed = files_.remove(); !removed.has_value()) {
    context_.log.warning("replica files not removed",
                         {{"replica", id()}, {"error", removed.error().message}});
  }
  context_.log.info("engine gone", {{"replica", id()}});
  context_.owner.on_changed(*this);
  context_.owner.on_gone(id());
}

}  // namespace staithe::runtime
