#include "gateway/proxy_exchange.h"

#include <string_view>
#include <utility>

#include "base/free_memory.h"
#include "gateway/choose.h"

// The request on its way to a replica: which one, and once more elsewhere if it must be.

namespace staithe::gateway {
namespace {

// A collected body goes to the replica in slices, so that it waits here and not once more in the
// connection's queue.
constexpr std::size_t slice_bytes = 64 * 1024;
// A collected body above this size is let go once it was given away whole.
constexpr std::size_t given_bytes_kept_max = 1024 * 1024;

}  // namespace

// Chosen from is the table of this moment, not that of the request's arrival: a replica that has
// left it since may already be stopping.
std::optional<ApiError> ProxyExchange::take_newest_table() {
  Request& request = *request_;
  const std::shared_ptr<const RouteTable>& newest = gateway_.reader_.table();
  if (request.table == newest) return std::nullopt;
  const std::shared_ptr<const RouteTable> old = std::exchange(request.table, newest);
  const std::string& model_name = request.model->name;
  request.gateway = newest->find_by_id(request.gateway->id);
  if (request.gateway == nullptr) {
    return errors::not_found("There is no such gateway on this server.");
  }
  request.model = request.gateway->find_model(model_name);
  if (request.model == nullptr) return errors::model_not_found(model_name);
  return std::nullopt;
}

// Chooses a deployment and a replica, and sends what there is of the request, or has it wait.
void ProxyExchange::send_upstream() {
  if (const auto error = take_newest_table()) return refuse(*error);
  Request& request = *request_;
  const ReplicaLoad* const failed = request.failed.get();
  const ServedDeployment* const deployment =
      choose_deployment(*request.model, exchange_.loop().now(), failed);
  if (deployment == nullptr) {
    if (failed != nullptr) return refuse(errors::replica_broke());
    demand_.assign(*choose_unready_deployment(*request.model).demand, exchange_.loop());
    return refuse(errors::model_not_ready(request.model->name));
  }
  demand_.assign(*deployment->demand, exchange_.loop());
  const bool is_in_turn = deployment->concurrency == 0 || !deployment->queue->is_waited_in();
  if (!is_in_turn || !send_to_replica_of(*deployment)) wait_in_queue(*deployment);
}

// False if all of its replicas are full.
bool ProxyExchange::send_to_replica_of(const ServedDeployment& deployment) {
  // Another loop may take the chosen replica's last slot first, but not for ever: for each time
  // that happens a request was sent.
  while (true) {
    const ReplicaChoice choice = choose_replica(deployment);
    if (choice.replica == nullptr) return false;
    auto in_flight = InFlight::reserve(
        choice.replica->load, deployment.concurrency, *deployment.metrics->in_flight,
        {.unread_bytes = choice.unread_bytes(), .sent_at = exchange_.loop().now()});
    if (!in_flight) continue;
    in_flight_ = *std::move(in_flight);
    count_choice(deployment, choice);
    send_to(*choice.replica);
    return true;
  }
}

ReplicaChoice ProxyExchange::choose_replica(const ServedDeployment& deployment) {
  Request& request = *request_;
  const ReplicaQuery query{
      .prompt = gateway_.options_.has_prefix_affinity ? &request.prompt : nullptr,
      .session = request.session == 0 ? 0 : hash_text(deployment.id, request.session),
      .excluded = request.failed.get()};
  const ReplicaChoice choice =
      gateway_.chooser_.choose(deployment, query, exchange_.loop().now(), gateway_.random_);
  if (choice.replica != nullptr && request.wants_routing) {
    request.routing = describe(choice, exchange_.loop().now());
  }
  return choice;
}

void ProxyExchange::count_choice(const ServedDeployment& deployment, const ReplicaChoice& choice) {
  metrics_ = deployment.metrics;
  counters_ = &metrics_->requests;
  metrics_->choices[static_cast<std::size_t>(choice.reason)]->add();
  if (choice.is_without_hints) metrics_->choices_without_hints->add();
}

void ProxyExchange::send_to(const ServedReplica& replica) {
  Request& request = *request_;
  if (usage_ != nullptr) usage_->take_model(request.model->name);
  if (span_ != nullptr) {
    span_->model = request.model->name;
    span_->replica_id = replica.load->id();
  }
  net::ClientRequest outgoing{.method = request.method, .target = request.target};
  request.headers.append_to(outgoing.headers);
  outgoing.body = request.framing;
  if (!is_passing_ && outgoing.body.kind != net::BodyFraming::Kind::none) {
    outgoing.body = {net::BodyFraming::Kind::length, request.body.size()};
  }
  request.body_given_bytes = 0;
  const std::size_t idle_count = gateway_.client_.idle_connection_count();
  upstream_ = gateway_.client_.start(replica.endpoint, outgoing, gateway_.options_.upstream,
                                     upstream_handler_);
  const bool is_connected = gateway_.client_.idle_connection_count() < idle_count;
  enter(is_connected ? Phase::waiting : Phase::connecting);
  if (!is_passing_) {
    // Until there is a connection the body needs no second place.
    if (is_connected) feed_collected_body();
    return;
  }
  upstream_->send_body(request.body);  // what a first try has taken in
  if (is_request_whole_) return upstream_->finish_body();
  if (!upstream_->is_congested()) exchange_.resume_body();
}

void ProxyExchange::take_connection() {
  if (phase_ != Phase::connecting) return;
  enter(Phase::waiting);
  if (!is_passing_) feed_collected_body();
}

void ProxyExchange::feed_collected_body() {
  Request& request = *request_;
  while (request.body_given_bytes < request.body.size() && !upstream_->is_congested()) {
    const auto slice = std::string_view(request.body).substr(request.body_given_bytes, slice_bytes);
    request.body_given_bytes += slice.size();
    upstream_->send_body(slice);
  }
  if (request.body_given_bytes < request.body.size()) return;
  upstream_->finish_body();
  if (phase_ == Phase::streaming) {
    request_.reset();
  } else if (request.body.size() > given_bytes_kept_max) {
    free_memory(request.body);
    request.body_given_bytes = 0;
    request.is_body_lost = true;
  }
}

void ProxyExchange::take_upstream_room() {
  if (is_passing_) {
    if (!is_request_whole_) exchange_.resume_body();
  } else if (request_ != nullptr && !request_->is_body_lost) {
    feed_collected_body();
  }
}

// Only a request of which no byte arrived is sent again, and only once: no prompt is ever run
// twice.
bool ProxyExchange::try_elsewhere(const net::ClientFailure& failure) {
  using Kind = net::ClientFailure::Kind;
  const bool is_unreachable =
      failure.kind == Kind::connect_refused || failure.kind == Kind::connect_timeout;
  if (is_unreachable) {
    in_flight_.load()->avoid_until(exchange_.loop().now() + gateway_.options_.replica_avoided_for);
  }
  if (failure.is_request_delivered || failure.is_answer_started) return false;
  if (request_->was_retried || request_->is_body_lost) return false;
  // A pooled connection that had died says nothing against its replica.
  if (is_unreachable) {
    request_->failed = in_flight_.shared_load();
    if (!has_ready_deployment(*request_->model, request_->failed.get())) return false;
  }
  request_->was_retried = true;
  metrics_->retries->add();
  in_flight_.release();
  send_upstream();
  return true;
}

}  // namespace staithe::gateway
