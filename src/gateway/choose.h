#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/random.h"
#include "gateway/affinity.h"
#include "gateway/prefix.h"
#include "gateway/route_table.h"

namespace staithe::gateway {

// The deployment that takes the next request for `model`: those with a ready replica share the
// requests by weight; a weight of 0 gets nothing beside a positive one, and all zero is equal
// shares. Null when nobody is ready. A replica with load `excluded` counts as not ready (it just
// failed this very request).
//
// Whoever is full, or has requests waiting, leaves its share to the others for as long as they have
// room: a split of traffic is a wish, a request that waits beside an idle replica a failure. That
// goes by weights, too, so that a weight of 0 takes over nothing. When all are full the turn is
// theirs as if none were, and the request waits there.
//
// Successive turns are spread by the golden ratio over the range of weights (a Weyl sequence), so
// that shares are right to a few requests at any length, across all loops, with one atomic add.
const ServedDeployment* choose_deployment(const ServedModel& model, Instant now,
                                          const ReplicaLoad* excluded = nullptr);

// Whether a replica is there to be chosen, be it full or not.
bool is_ready(const ServedDeployment& deployment, const ReplicaLoad* excluded);
bool has_ready_deployment(const ServedModel& model, const ReplicaLoad* excluded);

// Whether the deployment has a replica that may be chosen and is not full.
bool has_free_slot(const ServedDeployment& deployment, Instant now,
                   const ReplicaLoad* excluded = nullptr);

// The deployment that would take it if one were ready: that with the greatest weight.
const ServedDeployment& choose_unready_deployment(const ServedModel& model);

struct ChooseOptions {
  // What a replica's prefix cache is taken to hold of prompts, in bytes: about four to a token.
  std::uint64_t cache_bytes_per_replica = 4 * 1024 * 1024;
  // No replica gets a request that would give it more of them than this part of the mean, and one.
  std::uint32_t load_percent_max = 125;
  // What an answer in the making slows its replica down by, as bytes of a prompt to be read.
  std::uint64_t running_bytes = 2048;
  // How much dearer than waiting reading is: reading a prompt anew costs the fleet, waiting for
  // others costs this request alone.
  std::uint32_t reading_percent = 400;
};

// What the choice of a replica may know of a request.
struct ReplicaQuery {
  const Prefix* prompt = nullptr;  // null or empty: none was found
  std::uint64_t session = 0;       // a hash of what the client calls its session; 0: nothing
  const ReplicaLoad* excluded = nullptr;
};

enum class ChoiceReason : std::uint8_t {
  only,     // there was no other
  session,  // it has this session
  prefix,   // it has read the most of this prompt, for what it has to do
  load,     // it has the least to do
};
std::string_view choice_reason_name(ChoiceReason reason);

struct ReplicaChoice {
  const ServedReplica* replica = nullptr;  // null when there is none with room but the excluded one
  ChoiceReason reason = ChoiceReason::load;
  std::size_t prompt_bytes = 0;
  std::size_t cached_bytes = 0;  // of it, by our books
  bool is_without_hints = true;  // no engine has told its state lately; our own counts decided

  std::size_t unread_bytes() const { return prompt_bytes - cached_bytes; }
};

// For people: `replica=r-1; reason=prefix; prompt_bytes=4000; cached_bytes=3072; in_flight=2;
// backlog_ms=40; engine_metrics=fresh`. Of a choice that was made, before it is counted.
std::string describe(const ReplicaChoice& choice, Instant now);

// Chooses the replica that has the least to do until it has read the prompt, and for the others
// that it serves: what it has yet to read of the prompts before, what it would have to read of this
// one beyond what its cache should hold, and the answers it is making. Ties by chance. A replica
// that has much more than its share of the requests in flight gets none, however much it has
// cached, and one that is full is not in it: to wait there for what it has cached would cost more
// than to read it anew. Replicas that are avoided come into it only if there is no other, full or
// not.
//
// Where nothing is known of prompts this is the least number of requests in flight. What an engine
// says of itself counts while it is fresh, and only to see requests that did not come through here.
//
// Does nothing but read, compute and write to the table, so that a simulation chooses by this very
// code. Any thread.
class ReplicaChooser {
 public:
  explicit ReplicaChooser(AffinityTable& table, const ChooseOptions& options = {})
      : table_(table), options_(options) {}

  // Takes it that the request is sent there: the table remembers.
  ReplicaChoice choose(const ServedDeployment& deployment, const ReplicaQuery& query, Instant now,
                       Random& random);

 private:
  std::size_t cached_bytes(const ReplicaLoad& load, const AffinityTable::Holders& holders) const;

  AffinityTable& table_;
  const ChooseOptions options_;
};

}  // namespace staithe::gateway
