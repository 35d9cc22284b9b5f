#include "gateway/gateway_metrics.h"

#include <algorithm>

#include "gateway/choose.h"

namespace staithe::gateway {
namespace {

constexpr std::string_view requests_name = "staithe_gateway_requests_total";
constexpr std::string_view requests_help =
    "Inference requests by outcome; client_gone is a client that hung up.";

constexpr std::array failure_kinds = {
    net::ClientFailure::Kind::connect_refused,
    net::ClientFailure::Kind::connect_timeout,
    net::ClientFailure::Kind::reset,
    net::ClientFailure::Kind::protocol,
    net::ClientFailure::Kind::first_byte_timeout,
    net::ClientFailure::Kind::idle_timeout,
};

}  // namespace

std::string_view failure_name(net::ClientFailure::Kind kind) {
  switch (kind) {
    case net::ClientFailure::Kind::connect_refused:
      return "connect_refused";
    case net::ClientFailure::Kind::connect_timeout:
      return "connect_timeout";
    case net::ClientFailure::Kind::reset:
      return "upstream_reset";
    case net::ClientFailure::Kind::protocol:
      return "upstream_protocol";
    case net::ClientFailure::Kind::first_byte_timeout:
      return "first_byte_timeout";
    case net::ClientFailure::Kind::idle_timeout:
      return "idle_timeout";
  }
  return "other";
}

RequestCounters::RequestCounters(Metrics& metrics, std::string gateway_id,
                                 std::string deployment_id)
    : gateway_id_(std::move(gateway_id)), deployment_id_(std::move(deployment_id)) {
  const auto counter = [&](std::string_view outcome) {
    return &metrics.counter(requests_name, requests_help,
                            {{"gateway", gateway_id_},
                             {"deployment", deployment_id_},
                             {"outcome", std::string(outcome)}});
  };
  by_class_ = {counter("2xx"), counter("3xx"), counter("4xx"), counter("5xx")};
  client_gone_ = counter("client_gone");
}

void RequestCounters::count(std::uint16_t status) {
  const int status_class = std::clamp(status / 100, 2, 5);
  by_class_[static_cast<std::size_t>(status_class - 2)]->add();
}

DeploymentMetrics::DeploymentMetrics(Metrics& metrics, const std::string& gateway_id,
                                     const std::string& deployment_id)
    : requests(metrics, gateway_id, deployment_id) {
  const MetricLabels labels = {{"gateway", gateway_id}, {"deployment", deployment_id}};
  in_flight = &metrics.gauge("staithe_gateway_in_flight_requests",
                             "Requests at a replica, from its choice to the last byte.", labels);
  ejected = &metrics.gauge("staithe_gateway_ejected_replicas",
                           "Replicas that get no requests for a while because they failed one "
                           "after the other.",
                           labels);
  ejections = &metrics.counter("staithe_gateway_replica_ejections_total",
                               "How often a replica was ejected.", labels);
  time_limit =
      &metrics.counter("staithe_gateway_time_limit_total",
                       "Requests that were ended because they took too long in all.", labels);
  time_per_token = &metrics.histogram(
      "staithe_gateway_time_per_output_token_seconds",
      "Of streams whose engine told how many tokens there were: the time from the first byte of "
      "the answer to its end, for each token after the first.",
      labels);
  queued = &metrics.gauge("staithe_gateway_queued_requests",
                          "Requests that wait for a replica with room.", labels);
  const auto refusals = [&](std::string_view reason) {
    MetricLabels with_reason = labels;
    with_reason.emplace_back("reason", reason);
    return &metrics.counter("staithe_gateway_queue_refusals_total",
                            "Requests answered 429 because the queue was full, or because they had "
                            "waited for as long as they may.",
                            with_reason);
  };
  queue_full = refusals("full");
  queue_timeouts = refusals("timeout");
  queue_wait =
      &metrics.histogram("staithe_gateway_queue_wait_seconds",
                         "How long requests waited that had to, however it ended.", labels);
  first_byte =
      &metrics.histogram("staithe_gateway_time_to_first_byte_seconds",
                         "From the request's head to the first byte of the answer's body.", labels);
  retries =
      &metrics.counter("staithe_gateway_retries_total",
                       "Requests sent to a second replica because none reached the first.", labels);
  for (const auto reason :
       {ChoiceReason::only, ChoiceReason::session, ChoiceReason::prefix, ChoiceReason::load}) {
    MetricLabels with_reason = labels;
    with_reason.emplace_back("reason", choice_reason_name(reason));
    choices[static_cast<std::size_t>(reason)] =
        &metrics.counter("staithe_gateway_replica_choices_total",
                         "Replicas chosen, by what decided it.", with_reason);
  }
  choices_without_hints = &metrics.counter(
      "staithe_gateway_replica_choices_without_engine_metrics_total",
      "Replicas chosen by our own counts alone, because no engine has told its state lately.",
      labels);
  for (const auto kind : failure_kinds) {
    MetricLabels with_kind = labels;
    with_kind.emplace_back("kind", failure_name(kind));
    failures[static_cast<std::size_t>(kind)] =
        &metrics.counter("staithe_gateway_upstream_failures_total",
                         "Requests that broke between the gateway and a replica.", with_kind);
  }
}

GatewayMetrics::GatewayMetrics(Metrics& metrics)
    : metrics_(metrics), unknown_(metrics, "other", "none") {}

DeploymentMetrics& GatewayMetrics::deployment(const std::string& gateway_id,
                                              const std::string& deployment_id) {
  const std::lock_guard lock(mutex_);
  return by_deployment_
      .try_emplace({gateway_id, deployment_id}, metrics_, gateway_id, deployment_id)
      .first->second;
}

RequestCounters& GatewayMetrics::undecided(const std::string& gateway_id) {
  const std::lock_guard lock(mutex_);
  return by_gateway_.try_emplace(gateway_id, metrics_, gateway_id, "none").first->second;
}

}  // namespace staithe::gateway
