#include "policies.h"

#include <algorithm>
#include <list>
#include <map>
#include <numeric>
#include <span>
#include <unordered_map>

namespace staithe::bench {
namespace {

// The one with the greatest score, ties by chance.
template <typename Score>
std::uint32_t best_of(std::uint32_t count, Random& random, Score score) {
  std::uint32_t best = 0;
  double best_score = 0;
  std::uint64_t tie_count = 0;
  for (std::uint32_t i = 0; i < count; ++i) {
    const double one = score(i);
    if (tie_count == 0 || one > best_score) {
      tie_count = 1;
    } else if (one < best_score || random.below(++tie_count) != 0) {
      continue;
    }
    best = i;
    best_score = one;
  }
  return best;
}

// Keeps the requests in flight at each engine.
class CountingPolicy : public Policy {
 public:
  explicit CountingPolicy(const FleetShape& shape)
      : shape_(shape), random_(shape.seed), in_flight_(shape.engine_count) {}

  std::uint32_t choose(const Job& job, double) final {
    const std::uint32_t chosen = pick(*job.request);
    ++in_flight_[chosen];
    return chosen;
  }
  void on_end(const Job& job) override { --in_flight_[job.engine]; }

 protected:
  virtual std::uint32_t pick(const Request& request) = 0;

  std::uint32_t least_loaded() {
    return best_of(shape_.engine_count, random_,
                   [this](std::uint32_t i) { return -static_cast<double>(in_flight_[i]); });
  }

  const FleetShape shape_;
  SeededRandom random_;
  std::vector<std::uint32_t> in_flight_;
};

class RoundRobin final : public CountingPolicy {
 public:
  using CountingPolicy::CountingPolicy;

 private:
  std::uint32_t pick(const Request&) override { return next_++ % shape_.engine_count; }
  std::uint32_t next_ = 0;
};

class LeastLoad final : public CountingPolicy {
 public:
  using CountingPolicy::CountingPolicy;

 private:
  std::uint32_t pick(const Request&) override { return least_loaded(); }
};

class BoundedHash final : public CountingPolicy {
 public:
  explicit BoundedHash(const FleetShape& shape) : CountingPolicy(shape) {
    constexpr int places_per_engine = 256;
    for (std::uint32_t i = 0; i < shape.engine_count; ++i) {
      for (int k = 0; k < places_per_engine; ++k) ring_.emplace(random_.next(), i);
    }
  }

 private:
  std::uint32_t pick(const Request& request) override {
    const std::uint32_t begin = request.blocks[std::min<std::size_t>(1, request.blocks.size() - 1)];
    const std::string_view bytes(reinterpret_cast<const char*>(&begin), sizeof begin);
    const std::uint32_t total = std::accumulate(in_flight_.begin(), in_flight_.end(), 1u);
    const double limit = 1.25 * total / shape_.engine_count;
    auto at = ring_.lower_bound(gateway::hash_text(bytes, 0));
    for (std::size_t i = 0; i < ring_.size(); ++i, ++at) {
      if (at == ring_.end()) at = ring_.begin();
      if (in_flight_[at->second] + 1 <= limit) return at->second;
    }
    return least_loaded();
  }
  std::multimap<std::uint64_t, std::uint32_t> ring_;
};

// The blocks that were sent to an engine, the latest used of them up to a number.
class SentBlocks {
 public:
  explicit SentBlocks(std::size_t max) : max_(max) {}

  std::size_t matched(std::span<const std::uint32_t> ids) const {
    std::size_t count = 0;
    while (count < ids.size() && where_.contains(ids[count])) ++count;
    return count;
  }
  void add(std::span<const std::uint32_t> ids) {
    for (std::size_t i = ids.size(); i-- > 0;) {
      const auto [place, is_new] = where_.try_emplace(ids[i]);
      if (!is_new) order_.erase(place->second);
      order_.push_front(ids[i]);
      place->second = order_.begin();
    }
    while (order_.size() > max_) {
      where_.erase(order_.back());
      order_.pop_back();
    }
  }

 private:
  std::size_t max_;
  std::list<std::uint32_t> order_;
  std::unordered_map<std::uint32_t, std::list<std::uint32_t>::iterator> where_;
};

class CacheAware final : public CountingPolicy {
 public:
  // The tree of each engine holds up to 2^26 characters.
  explicit CacheAware(const FleetShape& shape)
      : CountingPolicy(shape),
        trees_(shape.engine_count, SentBlocks((1u << 26) / (block_tokens * token_bytes))) {}

 private:
  std::uint32_t pick(const Request& request) override {
    const std::uint32_t chosen = place(request);
    trees_[chosen].add(request.blocks);
    return chosen;
  }
  std::uint32_t place(const Request& request) {
    const auto [least, most] = std::minmax_element(in_flight_.begin(), in_flight_.end());
    if (*most - *least > 64 && *most > 1.5 * *least) return least_loaded();
    std::vector<std::size_t> matched(shape_.engine_count);
    for (std::uint32_t i = 0; i < shape_.engine_count; ++i) {
      matched[i] = trees_[i].matched(request.blocks);
    }
    const std::size_t longest = *std::max_element(matched.begin(), matched.end());
    const double share = static_cast<double>(longest * block_tokens) / request.input_tokens;
    if (share <= 0.3) return least_loaded();
    return best_of(shape_.engine_count, random_, [&](std::uint32_t i) {
      return matched[i] == longest ? 1.0 / (1 + in_flight_[i]) : -1.0;
    });
  }
  std::vector<SentBlocks> trees_;
};

class Scored final : public CountingPolicy {
 public:
  // The index of each engine is as large as its cache, as the documentation recommends.
  Scored(const FleetShape& shape, std::size_t blocks_max)
      : CountingPolicy(shape),
        blocks_max_(blocks_max),
        readings_(shape.engine_count),
        indexes_(shape.engine_count, SentBlocks(shape.kv_blocks)) {}
  void on_readings(const std::vector<Reading>& readings, double) override { readings_ = readings; }

 private:
  std::uint32_t pick(const Request& request) override {
    const auto ids = std::span(request.blocks).first(std::min(request.blocks.size(), blocks_max_));
    std::size_t least = ~std::size_t{0};
    std::size_t most = 0;
    for (const Reading& one : readings_) {
      least = std::min(least, one.waiting);
      most = std::max(most, one.waiting);
    }
    const std::uint32_t chosen = best_of(shape_.engine_count, random_, [&](std::uint32_t i) {
      const double queue = most == least ? 1
                                         : static_cast<double>(most - readings_[i].waiting) /
                                               static_cast<double>(most - least);
      const double prefix =
          static_cast<double>(indexes_[i].matched(ids)) / static_cast<double>(ids.size());
      return 2 * queue + 2 * (1 - readings_[i].kv_use) + 3 * prefix;
    });
    indexes_[chosen].add(ids);
    return chosen;
  }
  std::size_t blocks_max_;
  std::vector<Reading> readings_;
  std::vector<SentBlocks> indexes_;
};

class Staithe final : public Policy {
 public:
  Staithe(const FleetShape& shape, const gateway::ChooseOptions& options)
      : random_(shape.seed), chooser_(table_, options) {
    for (std::uint32_t i = 0; i < shape.engine_count; ++i) {
      deployment_.replicas.push_back(
          {.load = std::make_shared<gateway::ReplicaLoad>(std::to_string(i), i + 1)});
    }
  }

  std::uint32_t choose(const Job& job, double now_s) override {
    const auto choice =
        chooser_.choose(deployment_, {.prompt = &job.request->prefix}, instant(now_s), random_);
    under_way_[&job] =
        gateway::InFlight(choice.replica->load, gauge_,
                          {.unread_bytes = choice.unread_bytes(), .sent_at = instant(now_s)});
    return static_cast<std::uint32_t>(choice.replica - deployment_.replicas.data());
  }
  void on_first_token(const Job& job) override {
    under_way_.at(&job).answer_begun(instant(job.first_token_s));
  }
  void on_end(const Job& job) override { under_way_.erase(&job); }
  void on_readings(const std::vector<Reading>& readings, double now_s) override {
    for (std::size_t i = 0; i < readings.size(); ++i) {
      deployment_.replicas[i].load->hints().update(
          {.waiting = static_cast<std::uint32_t>(readings[i].waiting),
           .running = static_cast<std::uint32_t>(readings[i].running),
           .kv_permille = static_cast<std::uint32_t>(readings[i].kv_use * 1000)},
          instant(now_s));
    }
  }

 private:
  static Instant instant(double at_s) {
    return Instant{std::chrono::duration_cast<Duration>(std::chrono::duration<double>(at_s + 1))};
  }
  SeededRandom random_;
  gateway::AffinityTable table_{32 * 1024 * 1024};
  gateway::ReplicaChooser chooser_;
  gateway::ServedDeployment deployment_;
  Gauge gauge_;
  std::unordered_map<const Job*, gateway::InFlight> under_way_;
};

template <typename T>
Contender plain(const std::string& name) {
  return {name, [](const FleetShape& shape) { return std::make_unique<T>(shape); }};
}

Contender scored(const std::string& name, std::size_t tokens_max) {
  return {name, [tokens_max](const FleetShape& shape) {
            return std::make_unique<Scored>(shape, tokens_max / block_tokens);
          }};
}

}  // namespace

Contender staithe_contender(const gateway::ChooseOptions& options) {
  return {"Staithe",
          [options](const FleetShape& shape) { return std::make_unique<Staithe>(shape, options); }};
}

std::vector<Contender> other_contenders() {
  // 256 blocks of 64 characters are 4,096 tokens.
  return {plain<RoundRobin>("round robin"),
          plain<LeastLoad>("least load"),
          plain<BoundedHash>("bounded hash"),
          plain<CacheAware>("SGLang-style"),
          scored("llm-d-style", 256 * 64 / token_bytes),
          scored("llm-d whole", 1024 * 1024)};
}

}  // namespace staithe::bench
