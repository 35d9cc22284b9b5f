#include "reconcile/loop.h"

#include <algorithm>
#include <utility>

#include "reconcile/insight.h"
#include "store/records.h"

namespace staithe::reconcile {
namespace {

using store::Kind;
using namespace std::chrono_literals;

// Between two looks at the inbox, so that a busy store does not hide what engines do.
constexpr std::size_t passes_per_step_max = 200;
constexpr Duration store_delay_first = 50ms;
constexpr Duration store_delay_max = 2s;

const Key all_nodes{Kind::node, {}};
const Key all_replicas{Kind::replica, {}};

}  // namespace

// What other threads leave for the loop. Shared with the driver's listener, which may still be
// running when the loop goes.
struct Loop::Inbox {
  std::mutex mutex;  // guards everything below
  std::condition_variable wake;
  bool is_woken = false;
  bool is_stopping = false;
  bool has_ended = false;
  std::set<model::Id> deployments;
  std::vector<std::function<void(Loop*)>> questions;

  void put(const model::Id& deployment_id) {
    const std::lock_guard lock(mutex);
    deployments.insert(deployment_id);
    is_woken = true;
    wake.notify_one();
  }
  bool has_work() {
    const std::lock_guard lock(mutex);
    return !deployments.empty() || !questions.empty();
  }
  void ring() {
    const std::lock_guard lock(mutex);
    is_woken = true;
    wake.notify_one();
  }
};

Loop::Loop(const Clock& clock, Random& random, const Log& log, store::Store& store,
           runtime::Driver& driver, Executor& executor, const model::Catalogue& catalogue,
           LoopOptions options, Hooks hooks)
    : clock_(clock),
      log_(log),
      store_(store),
      driver_(driver),
      options_(options),
      hooks_(std::move(hooks)),
      inbox_(std::make_shared<Inbox>()),
      world_(store, log),
      capacity_(world_, catalogue),
      states_(driver),
      actions_(driver, executor, [inbox = inbox_](const model::Id& id) { inbox->put(id); }),
      scaler_(clock, world_, states_, catalogue, hooks_, options_.scaling),
      serving_(catalogue, world_, states_, hooks_),
      nodes_(clock, log, store, driver, world_, options_),
      claims_(clock, log, store, world_, capacity_),
      gateways_(clock, log, store, world_, options_.is_wandb_configured),
      deployments_(clock, log, store, world_, capacity_, states_, actions_, scaler_, serving_,
                   hooks_, options_),
      orphans_(clock, log, world_, states_, actions_, options_.sweep_interval),
      queue_(random, {options_.failure_delay_first, options_.failure_delay_max}),
      next_resync_(clock.instant()) {
  driver_.set_listener([inbox = inbox_](const model::Id& id) { inbox->put(id); });
  subscription_ = store_.subscribe([inbox = inbox_] { inbox->ring(); });
}

Loop::~Loop() {
  stop();
  {
    const std::lock_guard lock(inbox_->mutex);
    inbox_->has_ended = true;
  }
  answer_questions(nullptr);
  subscription_.reset();
  driver_.set_listener([](const model::Id&) {});
}

void Loop::start() {
  thread_ = Thread("reconcile", [this] { run_until_stopped(); });
}

void Loop::stop() {
  {
    const std::lock_guard lock(inbox_->mutex);
    inbox_->is_stopping = true;
    inbox_->wake.notify_one();
  }
  thread_.join();
  answer_questions(nullptr);
}

void Loop::ask(std::function<void(Loop*)> question) {
  {
    const std::lock_guard lock(inbox_->mutex);
    if (!inbox_->is_stopping && !inbox_->has_ended) {
      inbox_->questions.push_back(std::move(question));
      inbox_->is_woken = true;
      inbox_->wake.notify_one();
      return;
    }
  }
  question(nullptr);
}

void Loop::answer_questions(Loop* answerer) {
  std::vector<std::function<void(Loop*)>> questions;
  {
    const std::lock_guard lock(inbox_->mutex);
    questions.swap(inbox_->questions);
  }
  for (const auto& question : questions) question(answerer);
}

void Loop::run_until_stopped() {
  std::unique_lock lock(inbox_->mutex);
  while (!inbox_->is_stopping) {
    inbox_->is_woken = false;
    lock.unlock();
    const Instant due = step();
    const Duration wait = due - clock_.instant();
    lock.lock();
    if (wait <= Duration::zero()) continue;
    inbox_->wake.wait_for(lock, wait, [this] { return inbox_->is_woken || inbox_->is_stopping; });
  }
}

Instant Loop::step() {
  take_inbox();
  if (Result<void> taken = take_changes(); !taken) {
    // Nothing is done on a view that may be old: what seems missing may just not be readable.
    Duration delay = store_delay_first;
    for (std::uint32_t i = 0; i < store_failures_ && delay < store_delay_max; ++i) delay *= 2;
    store_failures_ += 1;
    log_.warning("the store does not answer", {{"error", taken.error().message}});
    answer_questions(nullptr);
    return clock_.instant() + std::min(delay, store_delay_max);
  }
  store_failures_ = 0;
  adopt();
  answer_questions(is_adopted_ ? this : nullptr);
  if (clock_.instant() >= next_resync_) resync();
  for (const model::Id& id : scaler_.evaluate()) {
    queue_.add({Kind::deployment, id}, clock_.instant());
  }
  for (std::size_t passes = 0; passes < passes_per_step_max; ++passes) {
    const std::optional<Key> key = queue_.pop(clock_.instant());
    if (!key) break;
    run(*key);
    if (!take_changes()) return clock_.instant() + store_delay_first;
  }
  if (inbox_->has_work()) return clock_.instant();
  return std::min({queue_.next_due().value_or(next_resync_), next_resync_, scaler_.next_due()});
}

void Loop::take_inbox() {
  std::set<model::Id> deployments;
  {
    const std::lock_guard lock(inbox_->mutex);
    deployments.swap(inbox_->deployments);
  }
  actions_.collect();
  for (const model::Id& id : deployments) queue_.add({Kind::deployment, id}, clock_.instant());
}

Result<void> Loop::take_changes() {
  TRY(world_.refresh());
  const Instant now = clock_.instant();
  for (const Key& key : world_.take_touched()) queue_.add(key, now);
  if (world_.take_capacity_changed()) {
    for (const Key& key : waiting_) queue_.add(key, now);
  }
  for (const Key& key : capacity_.take_touched()) queue_.add(key, now);
  return {};
}

// What runs already serves again before anything else is looked at.
void Loop::adopt() {
  if (is_adopted_) return;
  if (Result<void> listed = states_.refresh_all(); !listed) {
    log_.warning("the driver does not answer", {{"error", listed.error().message}});
    return;
  }
  serving_.publish_all();
  states_.take_surprises();
  is_adopted_ = true;
}

void Loop::resync() {
  const Instant now = clock_.instant();
  next_resync_ = now + options_.resync_interval;
  queue_.add(all_nodes, now);
  queue_.add(all_replicas, now);
  for (const Key& key : world_.keys()) queue_.add(key, now);
}

void Loop::run(const Key& key) {
  const Outcome outcome = reconcile(key);
  const Instant now = clock_.instant();
  if (outcome.waits_for_capacity) {
    waiting_.insert(key);
  } else {
    waiting_.erase(key);
  }
  if (outcome.error) {
    log_.warning(
        "a pass failed and will be repeated",
        {{"kind", store::kind_name(key.kind)}, {"id", key.id}, {"error", outcome.error->message}});
    queue_.add_failed(key, now);
    return;
  }
  queue_.forget_failures(key);
  if (outcome.again_after) queue_.add(key, now + *outcome.again_after);
}

Outcome Loop::reconcile(const Key& key) {
  switch (key.kind) {
    case Kind::node:
      return nodes_.reconcile();
    case Kind::claim:
      return claims_.reconcile(key.id);
    case Kind::gateway:
      return gateways_.reconcile(key.id);
    case Kind::deployment:
      scaler_.touch(key.id);
      return deployments_.reconcile(key.id);
    case Kind::replica: {
      const Outcome outcome = orphans_.reconcile();
      for (const model::Id& id : states_.take_surprises()) {
        queue_.add({Kind::deployment, id}, clock_.instant());
      }
      return outcome;
    }
    case Kind::token:
    case Kind::limit:
      break;
  }
  return Outcome::settled();
}

Result<model::Explanation> Loop::explain(const model::Id& deployment_id) {
  if (world_.find_deployment(deployment_id) == nullptr) {
    return Error{.code = Code::not_found, .message = "the control plane has not seen it yet"};
  }
  TRY(states_.refresh(deployment_id));
  const DeploymentView view = deployments_.observe(deployment_id);
  const Scaler::Verdict verdict = scaler_.verdict(view.deployment);
  const Instant now = clock_.instant();
  const Timestamp wall_now = clock_.now();
  model::Explanation explanation = explain_deployment(
      world_, view, plan_deployment(view),
      {.reason = verdict.reason, .demand = verdict.demand, .target = verdict.target}, now,
      wall_now);
  if (const auto due = queue_.due_of({Kind::deployment, deployment_id})) {
    const Duration wait = std::max(*due, now) - now;
    explanation.next_look = wall_now + std::chrono::duration_cast<std::chrono::microseconds>(wait);
  }
  return explanation;
}

Result<model::PlanPreview> Loop::preview(model::Deployment wanted) {
  TRY(states_.refresh(wanted.spec.id));
  const auto* before = world_.find_deployment(wanted.spec.id);
  if (before != nullptr) {
    wanted.status = before->value.status;
  } else {
    wanted.status.created_at = clock_.now();
  }
  wanted.status.status =
      wanted.status.was_ready ? model::Status::updating : model::Status::creating;
  const DeploymentView view = deployments_.observe(std::move(wanted));
  return preview_deployment(world_, before == nullptr ? nullptr : &before->value, view,
                            plan_deployment(view));
}

Result<model::PlanPreview> Loop::preview(const model::CapacityClaim& wanted) {
  const auto* before = world_.find_claim(wanted.spec.id);
  model::CapacityClaim claim = wanted;
  if (before != nullptr) {
    claim.status = before->value.status;
  } else {
    claim.status.pending_instances = claim.spec.resources.instance_count;
    claim.status.created_at = clock_.now();
  }
  claim.status.status = claim.status.was_ready ? model::Status::updating : model::Status::creating;
  return preview_claim(world_, before == nullptr ? nullptr : &before->value, claim,
                       plan_claim(capacity_.preview_of(claim)));
}

}  // namespace staithe::reconcile
