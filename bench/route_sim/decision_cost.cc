#include "decision_cost.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <vector>

#include "base/random.h"
#include "gateway/choose.h"

namespace staithe::bench {
namespace {

struct Case {
  std::size_t replica_count;
  std::size_t prompt_bytes;
};

std::string random_text(std::size_t bytes, Random& random) {
  std::string text(bytes, '\0');
  for (char& c : text) c = static_cast<char>('a' + random.below(26));
  return text;
}

double quantile_us(std::vector<Duration>& times, double share) {
  const auto at = static_cast<std::ptrdiff_t>(share * static_cast<double>(times.size() - 1));
  std::nth_element(times.begin(), times.begin() + at, times.end());
  return std::chrono::duration<double, std::micro>(times[static_cast<std::size_t>(at)]).count();
}

void measure(const Case& one) {
  constexpr std::size_t prompt_count = 4096;
  constexpr std::size_t round_count = 5;
  SystemClock clock;
  SeededRandom random(7);
  gateway::AffinityTable table(32 * 1024 * 1024);
  gateway::ReplicaChooser chooser(table);
  gateway::ServedDeployment deployment;
  for (std::size_t i = 0; i < one.replica_count; ++i) {
    deployment.replicas.push_back({.load = std::make_shared<gateway::ReplicaLoad>(
                                       std::to_string(i), static_cast<std::uint32_t>(i + 1))});
  }
  // Conversations: half of each prompt is new, half is that of the one before.
  const std::string text = random_text(one.prompt_bytes + prompt_count, random);
  std::vector<gateway::Prefix> prompts;
  Duration hashing{0};
  for (std::size_t i = 0; i < prompt_count; ++i) {
    const Instant begun = clock.instant();
    gateway::Prefix& prompt = prompts.emplace_back(i / 2);
    prompt.add(std::string_view(text).substr(0, one.prompt_bytes / 2));
    prompt.add(std::string_view(text).substr(i % 2 == 0 ? 0 : i, one.prompt_bytes / 2));
    hashing += clock.instant() - begun;
  }
  std::vector<Duration> times;
  Gauge gauge;
  std::vector<gateway::InFlight> under_way(one.replica_count * 8);
  for (std::size_t round = 0; round < round_count; ++round) {
    for (const gateway::Prefix& prompt : prompts) {
      const Instant begun = clock.instant();
      const auto choice = chooser.choose(deployment, {.prompt = &prompt}, begun, random);
      const Duration took = clock.instant() - begun;
      if (round > 0) times.push_back(took);
      under_way[times.size() % under_way.size()] = gateway::InFlight(
          choice.replica->load, gauge, {.unread_bytes = choice.unread_bytes(), .sent_at = begun});
    }
  }
  fmt::print("| {} | {} KiB | {} | {:.2f} us | {:.2f} us | {:.2f} us |\n", one.replica_count,
             one.prompt_bytes / 1024, prompts[0].hashes().size(), quantile_us(times, 0.5),
             quantile_us(times, 0.99),
             std::chrono::duration<double, std::micro>(hashing).count() / prompt_count);
}

}  // namespace

void print_decision_cost() {
  fmt::print("\nOne decision, 4,096 prompts in turn, the reading of the clock included:\n\n");
  fmt::print(
      "| replicas | prompt | marks | p50 | p99 | hashing the prompt |\n"
      "|---|---|---|---|---|---|\n");
  for (const Case& one : {Case{8, 0}, Case{8, 1536}, Case{8, 8 * 1024}, Case{8, 48 * 1024},
                          Case{8, 340 * 1024}, Case{64, 48 * 1024}}) {
    measure(one);
  }
}

}  // namespace staithe::bench
