#include "reconcile/node_reconciler.h"

#include <map>
#include <utility>

#include "model/capacity_claim.h"
#include "store/records.h"

namespace staithe::reconcile {

Outcome NodeReconciler::reconcile() {
  Result<std::vector<model::Node>> listed = driver_.nodes();
  if (!listed) return Outcome::failed(std::move(listed).error());
  std::map<model::Id, model::Node> present;
  for (model::Node& node : *listed) {
    node.zone = model::fold_zone(node.zone);
    node.instance_type = model::fold_instance(node.instance_type);
    const model::Id id = node.id;
    present.emplace(id, std::move(node));
  }

  store::Transaction transaction;
  for (const auto& [id, node] : present) {
    const auto* known = world_.find_node(id);
    if (known == nullptr) {
      if (world_.is_unreadable(store::Kind::node, id)) continue;
      log_.debug("a node joined", {{"node", id},
                                   {"zone", node.zone},
                                   {"instance_type", node.instance_type},
                                   {"gpus", node.gpu_count}});
      transaction.push_back(store::create_step(node, clock_.now()));
    } else if (known->value != node) {
      log_.info("a node changed", {{"node", id}, {"schedulable", node.schedulable}});
      transaction.push_back(store::update_step(node, known->version));
    }
  }
  for (const auto& [id, known] : world_.nodes()) {
    if (present.contains(id)) continue;
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
  if (!transaction.empty()) {
    const Result<store::Commit> written = store_.commit_and_wait(std::move(transaction));
    if (!written) return outcome_of_failed_commit(written.error());
  }
  return Outcome::again(interval_);
}

}  // namespace staithe::reconcile
