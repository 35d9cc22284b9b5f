#include "sim/stage.h"

#include <cstdio>

namespace staithe::sim {
namespace {

constexpr std::size_t lines_kept_max = 60;

}  // namespace

std::string_view name_of(Invariant invariant) {
  switch (invariant) {
    case Invariant::gpu_held_once:
      return "gpu held once";
    case Invariant::node_claimed_once:
      return "node claimed once";
    case Invariant::one_process_per_replica:
      return "one process per replica";
    case Invariant::record_before_process:
      return "record before process";
    case Invariant::no_orphans:
      return "no orphans";
    case Invariant::ready_means_ready:
      return "ready means ready";
    case Invariant::claim_has_its_nodes:
      return "claim has its nodes";
    case Invariant::served_only_when_ready:
      return "served only when ready";
    case Invariant::streams_are_not_cut:
      return "streams are not cut";
    case Invariant::legal_steps:
      return "legal steps";
    case Invariant::status_well_formed:
      return "status well formed";
    case Invariant::surge_is_bounded:
      return "surge is bounded";
    case Invariant::nothing_acknowledged_is_lost:
      return "nothing acknowledged is lost";
    case Invariant::writes_are_visible:
      return "writes are visible";
    case Invariant::calls_are_answered_well:
      return "calls are answered well";
    case Invariant::settles:
      return "settles";
    case Invariant::waits_for_a_reason:
      return "waits for a reason";
    case Invariant::others_go_on:
      return "others go on";
    case Invariant::idle_is_quiet:
      return "idle is quiet";
  }
  return "unknown";
}

void Trace::add(const std::string& text) {
  const double seconds = std::chrono::duration<double>(clock_.instant() - begin_).count();
  std::string line = fmt::format("{:10.3f} s  {}", seconds, text);
  if (mode_ == Mode::print) {
    fmt::print("{}\n", line);
    return;
  }
  lines_.push_back(std::move(line));
  if (lines_.size() > lines_kept_max) lines_.pop_front();
}

Weather Weather::draw(Dice& dice) {
  Weather weather;
  const auto sometimes = [&dice](double most) {
    return dice.chance(0.4) ? most * dice.random().unit() : 0.0;
  };
  const auto a_few = [&dice](std::uint64_t most) {
    return dice.chance(0.4) ? dice.between(1, most) : 0;
  };
  weather.action_fails = sometimes(0.4);
  weather.action_lies = sometimes(0.3);
  weather.action_is_slow = sometimes(0.2);
  weather.query_fails = sometimes(0.1);
  weather.notice_is_late = sometimes(0.5);
  weather.word_is_lost = sometimes(0.8);
  weather.word_is_late = sometimes(0.5);
  weather.word_is_doubled = sometimes(0.5);
  weather.somebody_else_writes = sometimes(0.2);
  weather.feed_lags = sometimes(0.4);
  weather.wake_is_lost = sometimes(0.6);
  weather.wake_is_late = sometimes(0.5);
  weather.wake_is_doubled = sometimes(0.5);
  weather.serving_is_late = sometimes(0.6);
  weather.drained_is_late = sometimes(0.6);
  weather.engine_is_moody = sometimes(0.3);
  weather.stop_is_ignored = sometimes(0.5);
  weather.executor_is_full = sometimes(0.1);
  weather.executor_is_slow = sometimes(0.3);
  weather.crashes = a_few(8);
  weather.crash_again = sometimes(0.8);
  weather.outages = a_few(3);
  weather.power_cuts = a_few(3);
  weather.partitions = a_few(3);
  weather.cordons = a_few(3);
  weather.engine_crashes = a_few(8);
  weather.engine_freezes = a_few(4);
  weather.strays = a_few(3);
  weather.hangs = a_few(3);
  return weather;
}

}  // namespace staithe::sim
