#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>

#include "base/metrics.h"
#include "net/http_client.h"

namespace staithe::gateway {

std::string_view failure_name(net::ClientFailure::Kind kind);

// Requests by how they ended. Labels are ids of gateways and deployments that exist, never what a
// client wrote, so that made-up names cannot grow memory.
class RequestCounters {
 public:
  RequestCounters(Metrics& metrics, std::string gateway_id, std::string deployment_id);

  void count(std::uint16_t status);
  void count_client_gone() { client_gone_->add(); }

  const std::string& gateway_id() const { return gateway_id_; }
  const std::string& deployment_id() const { return deployment_id_; }

 private:
  std::string gateway_id_;
  std::string deployment_id_;
  std::array<Counter*, 4> by_class_;  // 2xx to 5xx
  Counter* client_gone_;
};

// What is counted per deployment of a gateway; looked up when a table is built, never per request.
struct DeploymentMetrics {
  DeploymentMetrics(Metrics& metrics, const std::string& gateway_id,
                    const std::string& deployment_id);

  RequestCounters requests;
  Gauge* in_flight;
  Gauge* ejected;
  Counter* ejections;
  Counter* time_limit;
  Histogram* time_per_token;
  Gauge* queued;
  Counter* queue_full;
  Counter* queue_timeouts;
  Histogram* queue_wait;
  Histogram* first_byte;
  Counter* retries;
  std::array<Counter*, 4> choices;  // by ChoiceReason
  Counter* choices_without_hints;
  std::array<Counter*, 6> failures;  // by ClientFailure::Kind
};

// Hands out the counters of this process; they live as long as this object. Any thread.
class GatewayMetrics {
 public:
  explicit GatewayMetrics(Metrics& metrics);

  DeploymentMetrics& deployment(const std::string& gateway_id, const std::string& deployment_id);
  // For requests of a gateway that were answered before a deployment was chosen.
  RequestCounters& undecided(const std::string& gateway_id);
  // For requests that named no gateway of ours.
  RequestCounters& unknown() { return unknown_; }

 private:
  Metrics& metrics_;
  RequestCounters unknown_;
  std::mutex mutex_;  // guards the maps; what they hold is atomic
  std::map<std::pair<std::string, std::string>, DeploymentMetrics> by_deployment_;
  std::map<std::string, RequestCounters> by_gateway_;
};

}  // namespace staithe::gateway
