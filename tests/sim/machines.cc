#include "sim/machines.h"

#include <algorithm>
#include <array>
#include <utility>

namespace staithe::sim {
namespace {

using namespace std::chrono_literals;
using Phase = Engine::Phase;

constexpr std::array<std::pair<Temper, std::string_view>, 7> tempers = {{
    {Temper::steady, "steady"},
    {Temper::slow, "slow"},
    {Temper::stubborn, "stubborn"},
    {Temper::absent, "absent"},
    {Temper::cursed, "cursed"},
    {Temper::silent, "silent"},
    {Temper::refused, "refused"},
}};

}  // namespace

std::string path_of(Temper temper) {
  for (const auto& [known, path] : tempers) {
    if (known == temper) return std::string(path);
  }
  return "steady";
}

Temper temper_of(const std::string& path) {
  for (const auto& [temper, known] : tempers) {
    if (path.starts_with(known)) return temper;
  }
  return Temper::steady;
}

bool is_doomed(Temper temper) {
  return temper == Temper::cursed || temper == Temper::silent || temper == Temper::refused;
}

bool runs_on(const Engine& engine, const model::Id& node_id) {
  return std::any_of(engine.spec.parts.begin(), engine.spec.parts.end(),
                     [&node_id](const auto& part) { return part.node_id == node_id; });
}

std::string text_of(const std::vector<model::ReplicaPart>& parts) {
  std::string text;
  for (const model::ReplicaPart& part : parts) {
    text += fmt::format("{}{}: {}", text.empty() ? "" : "; ", part.node_id,
                        fmt::join(part.gpu_slots, ","));
  }
  return text;
}

std::int64_t Machines::spawn(const runtime::ReplicaSpec& spec) {
  if (before_spawn) before_spawn(spec);
  const std::int64_t pid = next_pid_++;
  Engine engine{.pid = pid,
                .spec = spec,
                .port = static_cast<std::uint16_t>(20'000 + pid % 40'000),
                .started_at = stage_.now()};
  stage_.trace.note("engine {} of replica {} starts on {}", pid, spec.id, text_of(spec.parts));
  engines_.emplace(pid, std::move(engine));
  pid_of_[spec.id] = pid;

  Dice& dice = stage_.dice;
  const Temper temper = temper_of(spec.model.path);
  const bool is_moody = stage_.strikes(stage_.weather.engine_is_moody, "engine crashes loading");
  if (temper == Temper::silent) return pid;
  if (temper == Temper::cursed || is_moody) {
    stage_.timeline.after(dice.between(Duration{10ms}, Duration{3s}), Timeline::world,
                          [this, pid] { end(pid, "crashes while it loads"); });
    return pid;
  }
  const Duration load = temper == Temper::slow ? dice.between(Duration{5s}, Duration{50s})
                                               : dice.between(Duration{10ms}, Duration{4s});
  stage_.timeline.after(load, Timeline::world, [this, pid] { begin_answering(pid); });
  return pid;
}

void Machines::terminate(std::int64_t pid) {
  const auto found = engines_.find(pid);
  if (found == engines_.end() || found->second.is_asked_to_stop) return;
  found->second.is_asked_to_stop = true;
  stage_.trace.note("engine {} of replica {} is asked to stop", pid, found->second.spec.id);
  const bool is_ignored = temper_of(found->second.spec.model.path) == Temper::stubborn ||
                          stage_.strikes(stage_.weather.stop_is_ignored, "stop ignored");
  if (is_ignored) return;
  stage_.timeline.after(stage_.dice.between(Duration{1ms}, Duration{2s}), Timeline::world,
                        [this, pid] { end(pid, "stops"); });
}

void Machines::kill(std::int64_t pid) {
  stage_.timeline.after(stage_.dice.between(Duration{1ms}, Duration{100ms}), Timeline::world,
                        [this, pid] { end(pid, "is killed"); });
}

const Engine* Machines::find(std::int64_t pid) const {
  const auto found = engines_.find(pid);
  return found == engines_.end() ? nullptr : &found->second;
}

const Machine* Machines::find_machine(const model::Id& id) const {
  const auto found = machines_.find(id);
  return found == machines_.end() ? nullptr : &found->second;
}

bool Machines::is_any_hidden(const runtime::ReplicaSpec& spec) const {
  return std::any_of(spec.parts.begin(), spec.parts.end(), [this](const auto& part) {
    const Machine* machine = find_machine(part.node_id);
    return machine != nullptr && machine->has_power && !machine->is_reachable;
  });
}

bool Machines::is_any_down(const runtime::ReplicaSpec& spec) const {
  return std::any_of(spec.parts.begin(), spec.parts.end(), [this](const auto& part) {
    const Machine* machine = find_machine(part.node_id);
    return machine == nullptr || !machine->has_power;
  });
}

// ---- the storm

void Machines::add(model::Node node) {
  stage_.trace.note("machine {} joins: {} in {}, {} GPUs{}", node.id, node.instance_type, node.zone,
                    node.gpu_count,
                    node.owner_organization.empty() ? "" : ", of " + node.owner_organization);
  machines_[node.id].node = std::move(node);
  tell_machines();
}

void Machines::cut_power(const model::Id& id) {
  stage_.trace.note("machine {} loses power", id);
  std::vector<std::int64_t> pids;
  for (const auto& [pid, engine] : engines_) {
    if (runs_on(engine, id)) pids.push_back(pid);
  }
  for (const std::int64_t pid : pids) end(pid, "goes with its machine");
  Machine& machine = machines_.at(id);
  if (machine.is_there()) machine.there_last = stage_.now();
  machine.has_power = false;
  machine.is_reachable = true;
  tell_machines();
}

void Machines::retire(const model::Id& id) {
  cut_power(id);
  machines_.at(id).is_retired = true;
}

void Machines::cut_off(const model::Id& id) {
  stage_.trace.note("machine {} is out of reach", id);
  note_answering_on(id);
  Machine& machine = machines_.at(id);
  if (!machine.has_power) return;
  if (machine.is_there()) machine.there_last = stage_.now();
  machine.is_reachable = false;
  tell_machines();
}

void Machines::cordon(const model::Id& id) {
  stage_.trace.note("machine {} takes nothing new", id);
  machines_.at(id).is_cordoned = true;
  tell_machines();
}

void Machines::give_back(const model::Id& id) {
  Machine& machine = machines_.at(id);
  if (machine.is_retired || (machine.is_there() && !machine.is_cordoned)) return;
  stage_.trace.note("machine {} is back", id);
  machine.has_power = machine.is_reachable = true;
  machine.is_cordoned = false;
  tell_machines();
}

void Machines::crash(std::int64_t pid) {
  end(pid, "crashes");
}

void Machines::freeze(std::int64_t pid) {
  const auto found = engines_.find(pid);
  if (found == engines_.end() || found->second.phase != Phase::answering) return;
  stage_.trace.note("engine {} of replica {} stops answering", pid, found->second.spec.id);
  note_answering(found->second);
  found->second.phase = Phase::frozen;
  tell(found->second);
}

void Machines::thaw(std::int64_t pid) {
  const auto found = engines_.find(pid);
  if (found == engines_.end() || found->second.phase != Phase::frozen) return;
  stage_.trace.note("engine {} of replica {} answers again", pid, found->second.spec.id);
  found->second.phase = Phase::answering;
  tell(found->second);
}

// It holds no GPU: what it had would have to be taken from somebody who has a right to it.
void Machines::add_stray(const model::Id& node_id) {
  runtime::ReplicaSpec spec;
  spec.id = fmt::format("stray-{}", next_stray_++);
  spec.deployment_id = "nobody";
  spec.parts = {{.node_id = node_id, .gpu_slots = {}}};
  spec.model.path = path_of(Temper::steady);
  const std::int64_t pid = next_pid_++;
  stage_.trace.note("engine {}, which nobody has a record of, runs on {}", pid, node_id);
  files[spec.id] = {.spec = spec, .pid = pid};
  pid_of_[spec.id] = pid;
  const model::Id id = spec.id;
  engines_.emplace(pid, Engine{.pid = pid,
                               .spec = std::move(spec),
                               .phase = Phase::answering,
                               .is_stray = true,
                               .started_at = stage_.now()});
  if (watch_.engine) watch_.engine(id);
}

void Machines::heal() {
  for (const auto& [id, machine] : machines_) give_back(id);
  for (const auto& [pid, engine] : engines_) thaw(pid);
}

// ---- questions

bool Machines::answers(const Engine& engine) const {
  return engine.phase == Phase::answering && !is_any_hidden(engine.spec) &&
         !is_any_down(engine.spec);
}

bool Machines::answers(const model::Id& replica_id) const {
  const auto pid = pid_of_.find(replica_id);
  return pid != pid_of_.end() && answers(engines_.at(pid->second));
}

bool Machines::has_answered(const model::Id& replica_id, Duration within) const {
  if (answers(replica_id)) return true;
  const auto last = answered_.find(replica_id);
  return last != answered_.end() && stage_.now() - last->second.at <= within;
}

bool Machines::was_there(const Machine& machine, Duration within) const {
  return machine.is_there() || stage_.now() - machine.there_last <= within;
}

bool Machines::is_loss_in_doubt() const {
  // Longer than one time of grace: a process that comes back begins to count anew.
  constexpr Duration doubt_max = std::chrono::minutes{2};
  std::size_t present_count = 0;
  std::size_t missing_count = 0;
  for (const auto& [id, machine] : machines_) {
    if (machine.is_there()) {
      present_count += 1;
    } else if (was_there(machine, doubt_max)) {
      missing_count += 1;
    }
  }
  return missing_count > 1 && missing_count > present_count;
}

std::optional<std::uint16_t> Machines::last_port(const model::Id& replica_id) const {
  if (answers(replica_id)) return engines_.at(pid_of_.at(replica_id)).port;
  const auto last = answered_.find(replica_id);
  if (last == answered_.end()) return std::nullopt;
  return last->second.port;
}

// ---- inside

void Machines::begin_answering(std::int64_t pid) {
  const auto found = engines_.find(pid);
  if (found == engines_.end() || found->second.phase != Phase::loading) return;
  stage_.trace.note("engine {} of replica {} answers", pid, found->second.spec.id);
  found->second.phase = Phase::answering;
  tell(found->second);
}

void Machines::end(std::int64_t pid, std::string_view how) {
  const auto found = engines_.find(pid);
  if (found == engines_.end()) return;
  note_answering(found->second);
  const Engine engine = std::move(found->second);
  engines_.erase(found);
  stage_.trace.note("engine {} of replica {} {}", pid, engine.spec.id, how);
  if (const auto known = pid_of_.find(engine.spec.id);
      known != pid_of_.end() && known->second == pid) {
    pid_of_.erase(known);
  }
  tell(engine);
}

void Machines::note_answering(const Engine& engine) {
  if (answers(engine)) answered_[engine.spec.id] = {stage_.now(), engine.port};
}

void Machines::note_answering_on(const model::Id& node_id) {
  for (const auto& [pid, engine] : engines_) {
    if (runs_on(engine, node_id)) note_answering(engine);
  }
}

void Machines::tell(const Engine& engine) {
  if (watch_.engine) watch_.engine(engine.spec.id);
}

void Machines::tell_machines() {
  if (watch_.machines) watch_.machines();
}

}  // namespace staithe::sim
