#pragma once

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <set>

#include "base/clock.h"
#include "base/executor.h"
#include "base/log.h"
#include "base/random.h"
#include "base/thread.h"
#include "model/catalogue.h"
#include "model/explanation.h"
#include "reconcile/capacity.h"
#include "reconcile/claim_reconciler.h"
#include "reconcile/deployment_reconciler.h"
#include "reconcile/driver_actions.h"
#include "reconcile/gateway_reconciler.h"
#include "reconcile/key.h"
#include "reconcile/loop_options.h"
#include "reconcile/node_reconciler.h"
#include "reconcile/orphan_sweep.h"
#include "reconcile/outcome.h"
#include "reconcile/replica_states.h"
#include "reconcile/scaler.h"
#include "reconcile/serving.h"
#include "reconcile/serving_list.h"
#include "reconcile/work_queue.h"
#include "reconcile/world.h"
#include "runtime/driver.h"
#include "store/store.h"

namespace staithe::reconcile {

// The control plane: makes the world what the store says it should be.
//
// It is woken by the store's feed, by the driver's listener and by time, and is told no more than
// which resource to look at; everything else it reads. One thread does all of it, so nothing here
// needs a lock but the inbox. Only the driver's actions, which may take long, run on an executor.
//
//   feed, listener, time -> queue of keys -> observe -> plan -> act -> report -> store
//
// A process may end between any two calls of the store and the driver: the next one goes on.
class Loop {
 public:
  // Everything named here outlives the loop, and the driver what the executor still runs.
  Loop(const Clock& clock, Random& random, const Log& log, store::Store& store,
       runtime::Driver& driver, Executor& executor, const model::Catalogue& catalogue,
       LoopOptions options, Hooks hooks);
  ~Loop();
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  // Runs step() on a thread of its own until stop().
  void start();
  // Ends after the pass that is running. Safe to repeat.
  void stop();

  // Puts a question to the control thread: `question` runs there, soon, with the loop; or with
  // null, on any thread, when the loop has ended or does not know the state of the world. Any
  // thread.
  void ask(std::function<void(Loop*)> question);

  // Answers, for questions only. NOT_FOUND: the store has said nothing of such a deployment yet.
  Result<model::Explanation> explain(const model::Id& deployment_id);
  // What would come of it if the store held this.
  Result<model::PlanPreview> preview(model::Deployment wanted);
  Result<model::PlanPreview> preview(const model::CapacityClaim& wanted);

  // Does everything that is due now and says when more will be. For tests, and for the thread.
  Instant step();

 private:
  struct Inbox;

  Result<void> take_changes();
  void take_inbox();
  void adopt();
  void resync();
  void run(const Key& key);
  Outcome reconcile(const Key& key);
  void answer_questions(Loop* answerer);
  void run_until_stopped();

  const Clock& clock_;
  const Log& log_;
  store::Store& store_;
  runtime::Driver& driver_;
  const LoopOptions options_;
  const Hooks hooks_;

  std::shared_ptr<Inbox> inbox_;
  World world_;
  Capacity capacity_;
  ReplicaStates states_;
  DriverActions actions_;
  Scaler scaler_;
  ServingList serving_;
  NodeReconciler nodes_;
  ClaimReconciler claims_;
  GatewayReconciler gateways_;
  DeploymentReconciler deployments_;
  OrphanSweep orphans_;

  WorkQueue queue_;
  std::set<Key> waiting_;  // for capacity
  bool is_adopted_ = false;
  Instant next_resync_;
  std::uint32_t store_failures_ = 0;  // in a row

  std::unique_ptr<store::Store::Subscription> subscription_;
  Thread thread_;
};

}  // namespace staithe::reconcile
