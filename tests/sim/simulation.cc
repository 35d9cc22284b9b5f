#include "sim/simulation.h"

#include <algorithm>
#include <utility>

#include "reconcile/loop_options.h"
#include "sim/settled.h"

namespace staithe::sim {
namespace {

using namespace std::chrono_literals;

constexpr Duration storm_min = 10s;
constexpr Duration storm_max = 90s;
// What must have happened once nothing goes wrong any more: five starts of an engine that never
// answers, with their back-off, and then the new ones.
constexpr Duration settle_max = 20min;
constexpr Duration hung_settle_max = 5min;
constexpr Duration look_interval = 5s;
constexpr Duration idle_time = 60s;
constexpr std::uint64_t idle_steps_max = 40;
constexpr std::uint64_t restless_steps_max = 300;  // more for each that is tried again and again
constexpr std::uint64_t ticks_max = 400'000;

class Simulation {
 public:
  explicit Simulation(const Story& story)
      : stage_(story.seed, story.trace),
        bug_(story.bug),
        log_(1, story.trace == Trace::Mode::print ? LogLevel::info : LogLevel::error),
        catalogue_(make_catalogue()),
        disk_(stage_, stage_.dice.chance(0.3) ? 3 : 100'000),
        machines_(stage_),
        witness_(stage_, disk_.store(), machines_),
        organization_(stage_, witness_) {
    disk_.after_commit = [this](Writer writer, const store::Transaction& transaction) {
      witness_.see_commit(writer, transaction);
    };
    machines_.before_spawn = [this](const runtime::ReplicaSpec& spec) { witness_.see_start(spec); };
  }

  Report tell() {
    begin();
    storm();
    calm_down();
    if (!stage_.verdict.has_failed()) settle();
    if (!stage_.verdict.has_failed()) be_idle();
    if (!stage_.verdict.has_failed() && stage_.dice.chance(0.3)) say_farewell();
    return report();
  }

 private:
  // ---- the parts of a story

  void begin() {
    const std::uint64_t node_count = stage_.dice.between(1, stage_.dice.between(1, 40));
    for (std::uint64_t i = 1; i <= node_count; ++i) machines_.add(draw_node(stage_.dice, i));
    start_process();
  }

  void storm() {
    const Duration length = stage_.dice.between(storm_min, storm_max);
    const Instant end = stage_.now() + length;
    const auto plan = [this, length](std::uint64_t count, auto event) {
      for (std::uint64_t i = 0; i < count; ++i) {
        stage_.timeline.after(stage_.dice.between(Duration{0}, length), Timeline::world, event);
      }
    };
    const Weather& weather = stage_.weather;
    plan(stage_.dice.between(5, 40), [this] {
      if (process_) organization_.call(process_->desk());
    });
    plan(weather.crashes, [this] {
      if (process_) process_->end_after(stage_.dice.between(0, 60));
    });
    plan(weather.outages, [this] { begin_outage(); });
    plan(weather.power_cuts, [this] { lose_machine("power cut", &Machines::cut_power); });
    plan(weather.partitions, [this] { lose_machine("partition", &Machines::cut_off); });
    plan(weather.cordons, [this] { lose_machine("cordon", &Machines::cordon); });
    plan(weather.engine_crashes, [this] { disturb_engine("engine crash", &Machines::crash); });
    plan(weather.engine_freezes, [this] { freeze_engine(); });
    plan(weather.strays, [this] {
      stage_.counters.count("stray");
      machines_.add_stray(draw_machine());
    });
    plan(weather.hangs, [this] {
      if (process_) process_->executor().hang_next(1);
    });
    // A machine that joins late.
    plan(stage_.dice.between(0, 1), [this, number = machines_.all().size() + 1] {
      machines_.add(draw_node(stage_.dice, number));
    });
    run_until(end);
  }

  // Nothing goes wrong any more. What hangs goes on hanging for a while, and must hold up nobody
  // else.
  void calm_down() {
    if (stage_.verdict.has_failed()) return;
    stage_.trace.note("the storm is over");
    disk_.is_out = false;
    stage_.weather.is_storm = false;
    machines_.heal();
    if (!process_ || process_->has_ended()) restart();
    process_->end_never();
    process_->executor().hang_no_more();
    const std::size_t hung = process_->executor().hung();
    if (hung > 0) {
      run_until_settled(hung_settle_max, [this, hung] { return look().complaint_with_hung(hung); });
    }
    stage_.trace.note("what hung goes on");
    process_->executor().heal();
  }

  void settle() {
    run_until_settled(settle_max, [this] { return look().complaint(); });
  }

  void be_idle() {
    stage_.trace.note("everything is settled");
    // The last words about it may still be held back.
    run_until(stage_.now() + reconcile::LoopOptions{}.rewording_interval);
    const std::uint64_t commits = disk_.commits_of_loop;
    const std::uint64_t steps = process_->steps;
    const std::size_t restless = look().restless_count();
    run_until(stage_.now() + idle_time);
    if (stage_.verdict.has_failed()) return;
    if (restless == 0 && disk_.commits_of_loop != commits) {
      stage_.verdict.fail(Invariant::idle_is_quiet,
                          fmt::format("{} writes in {} s of nothing to do",
                                      disk_.commits_of_loop - commits, idle_time / 1s));
    }
    const std::uint64_t steps_max = idle_steps_max + restless * restless_steps_max;
    if (process_->steps - steps > steps_max) {
      stage_.verdict.fail(Invariant::idle_is_quiet,
                          fmt::format("{} turns of the loop in {} s of nothing to do",
                                      process_->steps - steps, idle_time / 1s));
    }
    if (const auto complaint = look().complaint()) {
      stage_.verdict.fail(complaint->invariant, complaint->what);
    }
  }

  void say_farewell() {
    stage_.trace.note("everything is deleted");
    run_until_settled(settle_max, [this]() -> std::optional<Settled::Complaint> {
      organization_.remove_all(process_->desk());
      const std::size_t left = witness_.deployments().size() + witness_.claims().size() +
                               witness_.gateways().size() + witness_.replicas().size();
      if (left == 0 && machines_.engines().empty()) return std::nullopt;
      return Settled::Complaint{
          Invariant::settles,
          fmt::format("{} records and {} engines are left after all was deleted", left,
                      machines_.engines().size())};
    });
  }

  // ---- how time passes

  void run_until(Instant end) {
    while (!stage_.verdict.has_failed() && stage_.now() < end) tick(end);
  }

  template <typename Complain>
  void run_until_settled(Duration most, Complain complain) {
    const Instant end = stage_.now() + most;
    std::optional<Settled::Complaint> complaint;
    while (!stage_.verdict.has_failed()) {
      run_until(stage_.now() + look_interval);
      complaint = complain();
      if (!complaint) return;
      if (stage_.now() < end) continue;
      stage_.verdict.fail(complaint->invariant,
                          fmt::format("{} s after the last fault: {}", most / 1s, complaint->what));
    }
  }

  void tick(Instant end) {
    ticks_ += 1;
    if (process_ && process_->has_ended()) {
      stage_.trace.note("the process has ended");
      stage_.counters.count("process ends");
      process_.reset();
      stage_.timeline.after(stage_.dice.between(Duration{1ms}, Duration{5s}), Timeline::world,
                            [this] { restart(); });
    }
    const Instant due = process_ ? process_->due() : Instant::max();
    const Instant next = std::min({end, due, stage_.timeline.next()});
    if (next > stage_.now()) stage_.clock.advance(next - stage_.now());
    stage_.timeline.run_due();
    if (process_ && process_->due() <= stage_.now()) process_->step();
    if (ticks_ >= ticks_max) {
      stage_.verdict.fail(Invariant::idle_is_quiet, "it never comes to rest");
    }
  }

  // ---- our process

  void restart() {
    if (process_ && !process_->has_ended()) return;
    process_.reset();
    start_process();
    if (stage_.strikes(stage_.weather.crash_again, "ends again")) {
      process_->end_after(stage_.dice.between(0, 40));
    }
  }

  void start_process() {
    stage_.trace.note("a process begins");
    process_ =
        std::make_unique<ControlPlane>(ControlPlane::Surroundings{.stage = stage_,
                                                                  .disk = disk_,
                                                                  .machines = machines_,
                                                                  .witness = witness_,
                                                                  .organization = organization_,
                                                                  .catalogue = catalogue_,
                                                                  .log = log_,
                                                                  .bug = bug_},
                                       ++processes_);
  }

  Settled look() const { return {stage_, machines_, witness_, process_->data_plane()}; }

  // ---- faults

  model::Id draw_machine() {
    const auto& all = machines_.all();
    const auto at = static_cast<std::ptrdiff_t>(stage_.dice.between(0, all.size() - 1));
    return std::next(all.begin(), at)->first;
  }

  void begin_outage() {
    stage_.counters.count("store outage");
    stage_.trace.note("the store does not answer");
    disk_.is_out = true;
    stage_.timeline.after(stage_.dice.between(Duration{10ms}, Duration{20s}), Timeline::world,
                          [this] { disk_.is_out = false; });
  }

  void lose_machine(std::string_view what, void (Machines::*how)(const model::Id&)) {
    const model::Id id = draw_machine();
    if (!machines_.find_machine(id)->is_there()) return;
    stage_.counters.count(what);
    if (how == &Machines::cut_power && stage_.dice.chance(0.3)) return machines_.retire(id);
    (machines_.*how)(id);
    stage_.timeline.after(stage_.dice.between(Duration{100ms}, Duration{60s}), Timeline::world,
                          [this, id] { machines_.give_back(id); });
  }

  std::optional<std::int64_t> draw_engine() {
    const auto& all = machines_.engines();
    if (all.empty()) return std::nullopt;
    const auto at = static_cast<std::ptrdiff_t>(stage_.dice.between(0, all.size() - 1));
    return std::next(all.begin(), at)->first;
  }

  void disturb_engine(std::string_view what, void (Machines::*how)(std::int64_t)) {
    const auto pid = draw_engine();
    if (!pid) return;
    stage_.counters.count(what);
    (machines_.*how)(*pid);
  }

  void freeze_engine() {
    const auto pid = draw_engine();
    if (!pid) return;
    stage_.counters.count("engine freeze");
    machines_.freeze(*pid);
    stage_.timeline.after(stage_.dice.between(Duration{1s}, Duration{60s}), Timeline::world,
                          [this, pid = *pid] { machines_.thaw(pid); });
  }

  Report report() const {
    Report report{.what = {},
                  .last_events = stage_.trace.last(),
                  .ticks = ticks_,
                  .status_writes = witness_.status_writes,
                  .status_changes = witness_.status_changes,
                  .counters = stage_.counters};
    if (const auto& failure = stage_.verdict.failure()) {
      report.failed = failure->first;
      report.what = failure->second;
    }
    return report;
  }

  Stage stage_;
  const Bug bug_;
  const Log log_;
  const model::Catalogue catalogue_;
  Disk disk_;
  Machines machines_;
  Witness witness_;
  Organization organization_;
  std::unique_ptr<ControlPlane> process_;
  std::uint64_t processes_ = 0;
  std::uint64_t ticks_ = 0;
};

}  // namespace

Report simulate(const Story& story) {
  return Simulation(story).tell();
}

}  // namespace staithe::sim
