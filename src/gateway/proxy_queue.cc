#include "gateway/proxy_exchange.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "gateway/choose.h"

// A request that waits until a replica has room for it.

namespace staithe::gateway {
namespace {

// How often to look for what nobody tells of: a replica that is no longer avoided.
constexpr std::chrono::seconds look_again_after{1};

}  // namespace

ProxyExchange::Wait::Wait(ProxyExchange& exchange, const ServedDeployment& deployment)
    : deployment_id(deployment.id),
      metrics(*deployment.metrics),
      since(exchange.exchange_.loop().now()),
      owner(exchange) {
  metrics.queued->add(1);
  owner.gateway_.waiting_.insert(&owner);
}

ProxyExchange::Wait::~Wait() {
  owner.exchange_.loop().cancel(timer);
  owner.gateway_.waiting_.erase(&owner);
  metrics.queued->add(-1);
  metrics.queue_wait->observe(
      std::chrono::duration<double>(owner.exchange_.loop().now() - since).count());
}

void ProxyExchange::wait_in_queue(const ServedDeployment& deployment) {
  enter(Phase::queued);
  counters_ = &deployment.metrics->requests;
  if (is_passing_) exchange_.pause_body();
  const UsageCaller& caller = request_->caller;
  auto place = DeploymentQueue::join(deployment.queue, caller.organization + '\n' + caller.token_id,
                                     gateway_.options_.queue.length_max, exchange_.loop(),
                                     [this](DeploymentQueue::Turn turn) { take_turn(turn); });
  if (place == nullptr) return refuse_full(deployment.metrics->queue_full);
  wait_ = std::make_unique<Wait>(*this, deployment);
  wait_->place = std::move(place);
  if (has_free_slot(deployment, exchange_.loop().now(), request_->failed.get())) {
    deployment.queue->call_next();
  }
  watch_wait();
}

void ProxyExchange::watch_wait() {
  const Duration left = wait_->since + gateway_.options_.queue.wait_max - exchange_.loop().now();
  wait_->timer =
      exchange_.loop().run_after(std::clamp<Duration>(left, Duration{0}, look_again_after), [this] {
        wait_->timer = 0;
        const Duration waited = exchange_.loop().now() - wait_->since;
        if (waited >= gateway_.options_.queue.wait_max) {
          wait_->metrics.queue_timeouts->add();
          return refuse(errors::queue_wait_over(request_->model->name));
        }
        DeploymentQueue* const queue = follow_routes();
        if (queue != nullptr) queue->call_next();
        if (wait_ != nullptr && wait_->timer == 0) watch_wait();
      });
}

void ProxyExchange::refuse_full(Counter* counter) {
  counter->add();
  refuse(errors::queue_full(request_->model->name));
}

// Where it waits, as the newest table has it; null if it is served there no more.
const ServedDeployment* ProxyExchange::awaited_deployment() const {
  for (const ServedDeployment& deployment : request_->model->deployments) {
    if (deployment.id != wait_->deployment_id) continue;
    return is_ready(deployment, request_->failed.get()) ? &deployment : nullptr;
  }
  return nullptr;
}

void ProxyExchange::take_turn(DeploymentQueue::Turn turn) {
  if (phase_ != Phase::queued) return;
  if (turn == DeploymentQueue::Turn::turned_away) return refuse_full(wait_->metrics.queue_full);
  if (const auto error = take_newest_table()) return refuse(*error);
  const ServedDeployment* const deployment = awaited_deployment();
  if (deployment == nullptr) return leave_for_another_deployment();

  const Instant now = exchange_.loop().now();
  DeploymentQueue& queue = *deployment->queue;
  if (send_to_replica_of(*deployment)) {
    wait_->place->use_turn();
    wait_.reset();
    if (has_free_slot(*deployment, now)) queue.call_next();
    return;
  }
  // What there is may be the very replica that failed this request: others can use it.
  const ReplicaLoad* const failed = request_->failed.get();
  if (failed != nullptr && has_free_slot(*deployment, now)) queue.call_next();
  wait_->place->wait_on();
  if (has_free_slot(*deployment, now, failed)) queue.call_next();
}

void ProxyExchange::leave_for_another_deployment() {
  wait_.reset();
  send_upstream();
}

// The routes may have changed, or time has passed: a request whose deployment is gone goes
// elsewhere or is answered. Returns the queue that it still waits in, if that could move on.
DeploymentQueue* ProxyExchange::follow_routes() {
  if (phase_ != Phase::queued) return nullptr;
  if (const auto error = take_newest_table()) {
    refuse(*error);
    return nullptr;
  }
  const ServedDeployment* const deployment = awaited_deployment();
  if (deployment == nullptr) {
    leave_for_another_deployment();
    return nullptr;
  }
  const bool has_room = has_free_slot(*deployment, exchange_.loop().now(), request_->failed.get());
  return has_room ? deployment->queue.get() : nullptr;
}

}  // namespace staithe::gateway
