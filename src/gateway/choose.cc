#include "gateway/choose.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>

namespace staithe::gateway {

bool is_ready(const ServedDeployment& deployment, const ReplicaLoad* excluded) {
  return std::any_of(deployment.replicas.begin(), deployment.replicas.end(),
                     [excluded](const ServedReplica& one) { return one.load.get() != excluded; });
}

bool has_ready_deployment(const ServedModel& model, const ReplicaLoad* excluded) {
  return std::any_of(model.deployments.begin(), model.deployments.end(),
                     [excluded](const auto& one) { return is_ready(one, excluded); });
}

namespace {

bool is_any_trusted(const ServedDeployment& deployment, Instant now, const ReplicaLoad* excluded) {
  return std::any_of(deployment.replicas.begin(), deployment.replicas.end(),
                     [now, excluded](const ServedReplica& one) {
                       return one.load.get() != excluded && !one.load->is_avoided(now);
                     });
}

// Whether a request that is new here would be sent at once.
bool is_open(const ServedDeployment& deployment, Instant now, const ReplicaLoad* excluded) {
  if (deployment.concurrency == 0) return true;
  return !deployment.queue->is_waited_in() && has_free_slot(deployment, now, excluded);
}

// Stamps in the table count bytes by this power of two.
constexpr unsigned stamp_shift = 6;

// 2^64 divided by the golden ratio: multiples of it, taken modulo 2^64, fill the range evenly.
constexpr std::uint64_t golden = 0x9e3779b97f4a7c15;

std::uint64_t spread(std::uint64_t turn, std::uint64_t bound) {
  __extension__ using Wide = unsigned __int128;
  return static_cast<std::uint64_t>((static_cast<Wide>(turn * golden) * bound) >> 64);
}

}  // namespace

const ServedDeployment* choose_deployment(const ServedModel& model, Instant now,
                                          const ReplicaLoad* excluded) {
  const ServedDeployment* only = nullptr;
  std::size_t ready_count = 0;
  bool is_weighted = false;
  for (const ServedDeployment& deployment : model.deployments) {
    if (!is_ready(deployment, excluded)) continue;
    only = &deployment;
    ++ready_count;
    is_weighted |= deployment.weight > 0;
  }
  if (ready_count <= 1) return only;

  const auto share = [&](const ServedDeployment& deployment) -> std::uint64_t {
    if (!is_ready(deployment, excluded)) return 0;
    return is_weighted ? deployment.weight : 1;
  };
  std::uint64_t sum = 0;
  std::uint64_t open_sum = 0;
  for (const ServedDeployment& deployment : model.deployments) {
    sum += share(deployment);
    if (is_open(deployment, now, excluded)) open_sum += share(deployment);
  }
  const bool is_any_open = open_sum > 0;
  std::uint64_t point =
      spread(model.turn->fetch_add(1, std::memory_order_relaxed), is_any_open ? open_sum : sum);
  for (const ServedDeployment& deployment : model.deployments) {
    if (is_any_open && !is_open(deployment, now, excluded)) continue;
    if (point < share(deployment)) return &deployment;
    point -= share(deployment);
  }
  return only;  // one filled up between the two looks
}

bool has_free_slot(const ServedDeployment& deployment, Instant now, const ReplicaLoad* excluded) {
  if (deployment.concurrency == 0) return is_ready(deployment, excluded);
  const bool is_trusted = is_any_trusted(deployment, now, excluded);
  return std::any_of(
      deployment.replicas.begin(), deployment.replicas.end(), [&](const ServedReplica& one) {
        return one.load.get() != excluded && !(is_trusted && one.load->is_avoided(now)) &&
               one.load->has_room(deployment.concurrency);
      });
}

const ServedDeployment& choose_unready_deployment(const ServedModel& model) {
  return *std::max_element(
      model.deployments.begin(), model.deployments.end(),
      [](const auto& one, const auto& other) { return one.weight < other.weight; });
}

std::string_view choice_reason_name(ChoiceReason reason) {
  switch (reason) {
    case ChoiceReason::only:
      return "only";
    case ChoiceReason::session:
      return "session";
    case ChoiceReason::prefix:
      return "prefix";
    case ChoiceReason::load:
      return "load";
  }
  return "load";
}

namespace {

// Who may be chosen, and how much each of them may have.
class Field {
 public:
  Field(const ServedDeployment& deployment, const ReplicaLoad* excluded, Instant now,
        std::uint64_t load_percent_max)
      : excluded_(excluded),
        now_(now),
        concurrency_(deployment.concurrency),
        is_any_trusted_(is_any_trusted(deployment, now, excluded)) {
    std::uint64_t in_flight = 0;
    for (const ServedReplica& replica : deployment.replicas) {
      if (!is_usable(*replica.load) || !replica.load->has_room(concurrency_)) continue;
      ++size_;
      in_flight += replica.load->in_flight();
      pace_sum_ns_ += replica.load->ns_per_byte();
    }
    // (count + 1) <= load_percent_max / 100 * (in_flight + 1) / size + 1, in whole numbers.
    if (size_ > 0) count_max_ = (in_flight + 1) * load_percent_max / (100 * size_);
  }

  std::size_t size() const { return size_; }
  // How long a replica takes to read as much, going by the mean of their paces. That of each moves
  // with its load, and to choose by it makes loads swing.
  Duration reading_time(std::uint64_t bytes) const {
    return Duration{static_cast<Duration::rep>(static_cast<double>(bytes) * pace_sum_ns_ /
                                               static_cast<double>(size_))};
  }
  void lift_bound() { count_max_ = ~std::uint64_t{0}; }
  bool is_usable(const ReplicaLoad& load) const {
    return &load != excluded_ && !(is_any_trusted_ && load.is_avoided(now_));
  }
  bool may_take(const ReplicaLoad& load) const {
    return is_usable(load) && load.in_flight() <= count_max_ && load.has_room(concurrency_);
  }

 private:
  const ReplicaLoad* excluded_;
  Instant now_;
  std::uint32_t concurrency_;
  bool is_any_trusted_;
  std::size_t size_ = 0;
  std::uint64_t count_max_ = 0;
  double pace_sum_ns_ = 0;
};

// Requests that the replica has, those that did not come through here but that the engine tells of
// too.
std::uint64_t request_count(const ReplicaLoad& load, const std::optional<EngineReading>& reading) {
  const std::uint64_t told =
      reading ? std::uint64_t{reading->waiting} + reading->running : std::uint64_t{0};
  return std::max<std::uint64_t>(load.in_flight(), told);
}

// Chance among equals: of n of them, each is taken with chance 1/n. Chance is drawn once.
class Lot {
 public:
  explicit Lot(Random& random) : random_(random) {}
  void reset() { count_ = 1; }
  bool draw() {
    if (word_ == 0) word_ = random_.next() | 1;
    word_ *= golden;
    return (word_ >> 32) % ++count_ == 0;
  }

 private:
  Random& random_;
  std::uint64_t word_ = 0;
  std::uint64_t count_ = 1;
};

}  // namespace

std::string describe(const ReplicaChoice& choice, Instant now) {
  const ReplicaLoad& load = *choice.replica->load;
  return fmt::format(
      "replica={}; reason={}; prompt_bytes={}; cached_bytes={}; in_flight={}; backlog_ms={}; "
      "engine_metrics={}",
      load.id(), choice_reason_name(choice.reason), choice.prompt_bytes, choice.cached_bytes,
      load.in_flight(), load.backlog(now) / std::chrono::milliseconds(1),
      choice.is_without_hints ? "none" : "fresh");
}

std::size_t ReplicaChooser::cached_bytes(const ReplicaLoad& load,
                                         const AffinityTable::Holders& holders) const {
  const AffinityTable::Holder* holder = holders.find(load.number());
  if (holder == nullptr) return 0;
  // Less than nothing when the request that left the stamp is chosen for but not counted yet.
  const auto read_since = static_cast<std::int64_t>(
      ((load.read_bytes() >> stamp_shift) - holder->stamp) << AffinityTable::stamp_spare_bits);
  const auto read_since_max = static_cast<std::int64_t>(
      (options_.cache_bytes_per_replica >> stamp_shift) << AffinityTable::stamp_spare_bits);
  if (read_since > read_since_max) return 0;
  return Prefix::bytes_before(holder->mark_count);
}

ReplicaChoice ReplicaChooser::choose(const ServedDeployment& deployment, const ReplicaQuery& query,
                                     Instant now, Random& random) {
  const bool has_prompt = query.prompt != nullptr && !query.prompt->is_empty();
  const auto hashes = has_prompt ? query.prompt->hashes() : std::span<const std::uint64_t>{};
  const AffinityTable::Holders holders = table_.find(hashes, deployment.replicas.size());
  const auto owner = query.session == 0 ? std::nullopt : table_.owner(query.session);
  Field field(deployment, query.excluded, now, options_.load_percent_max);

  ReplicaChoice best{.prompt_bytes = has_prompt ? query.prompt->size_bytes() : 0};
  Duration best_cost{0};
  const auto take = [&](const ServedReplica& replica, ChoiceReason reason) {
    best.replica = &replica;
    best.cached_bytes = cached_bytes(*replica.load, holders);
    best.reason =
        reason == ChoiceReason::load && best.cached_bytes > 0 ? ChoiceReason::prefix : reason;
  };
  bool is_owner_there = false;
  Lot lot(random);
  const auto compare = [&] {
    for (const ServedReplica& replica : deployment.replicas) {
      const ReplicaLoad& load = *replica.load;
      is_owner_there |= owner == load.number() && field.is_usable(load);
      if (!field.may_take(load)) continue;
      const auto reading = load.hints().fresh(now);
      best.is_without_hints &= !reading;
      if (owner == load.number()) return take(replica, ChoiceReason::session);
      const std::uint64_t dearer_bytes =
          (best.prompt_bytes - cached_bytes(load, holders)) * options_.reading_percent / 100 +
          request_count(load, reading) * options_.running_bytes;
      const Duration cost = load.backlog(now) + field.reading_time(dearer_bytes);
      const bool is_better = best.replica == nullptr || cost < best_cost;
      if (is_better) lot.reset();
      if (!is_better && (cost != best_cost || !lot.draw())) continue;
      best_cost = cost;
      take(replica, ChoiceReason::load);
    }
  };
  compare();
  if (best.replica == nullptr) {
    // Counts changed on the way so that nobody was within the bound, or there is nobody.
    field.lift_bound();
    compare();
  }
  if (best.replica == nullptr) return best;
  if (field.size() == 1) best.reason = ChoiceReason::only;

  const ReplicaLoad& load = *best.replica->load;
  const std::uint64_t stamp = (load.read_bytes() + best.unread_bytes()) >> stamp_shift;
  table_.record(hashes, load.number(), stamp, now);
  // A session leaves a replica that is gone or avoided, not one that has its fill for now.
  if (query.session != 0 && !is_owner_there) table_.set_owner(query.session, load.number(), now);
  return best;
}

}  // namespace staithe::gateway
