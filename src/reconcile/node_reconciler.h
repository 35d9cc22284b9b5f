#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <vector>

#include "base/clock.h"
#include "base/log.h"
#include "model/node.h"
#include "reconcile/loop_options.h"
#include "reconcile/outcome.h"
#include "reconcile/world.h"
#include "runtime/driver.h"
#include "store/store.h"

namespace staithe::reconcile {

// Keeps the node records equal to the driver's machines. A machine that vanished keeps its record,
// not schedulable, while a claim or a replica still names it, so that it is itself when it is back.
//
// A single machine is lost at once. When most detected ones are missing from a listing they are
// believed to be lost only if that lasts (LoopOptions::node_loss_grace); until then they are given
// to nobody new. Joined machines are in no
// listing; their records are an administrator's, and so is `is_draining` of every record.
class NodeReconciler {
 public:
  NodeReconciler(const Clock& clock, const Log& log, store::Store& store, runtime::Driver& driver,
                 World& world, const LoopOptions& options)
      : clock_(clock),
        log_(log),
        store_(store),
        driver_(driver),
        world_(world),
        options_(options) {}

  // All machines at once.
  Outcome reconcile();

 private:
  using Listing = std::map<model::Id, model::Node>;

  void take_listed(const Listing& listing, store::Transaction& transaction);
  // True if a known machine is not in the listing.
  bool take_missing(const Listing& listing, store::Transaction& transaction);
  // Whether this listing is to be believed of the detected machines that it leaves out.
  bool is_loss_believed(const Listing& listing);

  const Clock& clock_;
  const Log& log_;
  store::Store& store_;
  runtime::Driver& driver_;
  World& world_;
  const LoopOptions& options_;

  // The last listing that asked for nothing, and the state of the records it was held against.
  std::vector<model::Node> settled_listing_;
  std::uint64_t settled_changes_ = 0;
  std::optional<Instant> mass_loss_since_;
  std::uint32_t mass_loss_sightings_ = 0;  // in a row
};

}  // namespace staithe::reconcile
