#include "reconcile/node_reconciler.h"

#include <set>
#include <utility>

#include "model/capacity_claim.h"
#include "store/records.h"

namespace staithe::reconcile {

using model::NodeSource;

Outcome NodeReconciler::reconcile() {
  Result<std::vector<model::Node>> listed = driver_.nodes();
  if (!listed) return Outcome::failed(std::move(listed).error());
  // Most of the time nothing is new on either side.
  const bool is_news = *listed != settled_listing_ || world_.node_changes() != settled_changes_;
  if (!is_news) {
    world_.set_doubted({});
    return Outcome::again(options_.node_sync_interval);
  }
  std::vector<model::Node> as_listed = *listed;
  Listing listing;
  for (model::Node& node : *listed) {
    node.zone = model::fold_zone(node.zone);
    node.instance_type = model::fold_instance(node.instance_type);
    const model::Id id = node.id;
    listing.emplace(id, std::move(node));
  }
  store::Transaction transaction;
  take_listed(listing, transaction);
  const bool is_any_missing = take_missing(listing, transaction);
  if (!transaction.empty()) {
    const Result<store::Commit> written = store_.commit_and_wait(std::move(transaction));
    if (!written) return outcome_of_failed_commit(written.error());
  } else if (!is_any_missing) {
    settled_listing_ = std::move(as_listed);
    settled_changes_ = world_.node_changes();
  }
  return Outcome::again(options_.node_sync_interval);
}

void NodeReconciler::take_listed(const Listing& listing, store::Transaction& transaction) {
  for (const auto& [id, node] : listing) {
    const auto* known = world_.find_node(id);
    if (known == nullptr) {
      if (world_.is_unreadable(store::Kind::node, id)) continue;
      log_.debug("a node joined", {{"node", id},
                                   {"zone", node.zone},
                                   {"instance_type", node.instance_type},
                                   {"gpus", node.gpu_count}});
      transaction.push_back(store::create_step(node, clock_.now()));
      continue;
    }
    model::Node wanted = node;
    wanted.is_draining = known->value.is_draining;
    if (known->value == wanted) continue;
    log_.info("a node changed", {{"node", id}, {"schedulable", wanted.schedulable}});
    transaction.push_back(store::update_step(wanted, known->version));
  }
}

bool NodeReconciler::take_missing(const Listing& listing, store::Transaction& transaction) {
  bool is_any_missing = false;
  std::set<model::Id> doubted;
  const bool is_believed = is_loss_believed(listing);
  for (const auto& [id, known] : world_.nodes()) {
    if (listing.contains(id) || known.value.source == NodeSource::joined) continue;
    is_any_missing = true;
    if (known.value.source == NodeSource::detected && !is_believed) {
      doubted.insert(id);
      continue;
    }
    if (world_.holder_of(id).empty() && world_.replicas_on(id).empty()) {
      log_.info("a node is gone", {{"node", id}});
      transaction.push_back(store::Remove{store::Kind::node, id, known.version});
    } else if (known.value.schedulable) {
      log_.warning("a node that is in use is gone", {{"node", id}});
      model::Node lost = known.value;
      lost.schedulable = false;
      transaction.push_back(store::update_step(lost, known.version));
    }
  }
  world_.set_doubted(std::move(doubted));
  return is_any_missing;
}

bool NodeReconciler::is_loss_believed(const Listing& listing) {
  std::size_t present_count = 0;
  std::size_t missing_count = 0;
  for (const auto& [id, known] : world_.nodes()) {
    // Those that were lost before say nothing about this listing.
    if (known.value.source != NodeSource::detected || !known.value.schedulable) continue;
    (listing.contains(id) ? present_count : missing_count) += 1;
  }
  if (missing_count < 2 || missing_count <= present_count) {
    mass_loss_since_.reset();
    mass_loss_sightings_ = 0;
    return true;
  }
  const Instant now = clock_.instant();
  if (!mass_loss_since_) {
    mass_loss_since_ = now;
    log_.warning("most nodes are missing at once; waiting for it to last",
                 {{"missing", missing_count}, {"present", present_count}});
  }
  mass_loss_sightings_ += 1;
  return mass_loss_sightings_ >= options_.node_loss_sightings &&
         now - *mass_loss_since_ >= options_.node_loss_grace;
}

}  // namespace staithe::reconcile
