#include "app/gateway_options.h"

namespace staithe::app {

gateway::Options gateway_options_of(const Config& config) {
  gateway::Options options;
  options.is_access_logged = config.access_log;
  options.has_prefix_affinity = config.prefix_affinity;
  options.choose.cache_bytes_per_replica = std::uint64_t{config.prefix_cache_kib} * 1024;
  options.engine_metrics_interval = config.engine_metrics_interval;
  options.session_header = config.session_header;
  options.may_ask_for_usage = config.ask_for_usage;
  options.queue = {.length_max = config.queue_length, .wait_max = config.queue_wait};
  options.model_cards_interval = config.model_details_interval;
  options.cors = gateway::CorsPolicy(config.gateway_cors_origins);
  options.upstream = {.connect = config.upstream_connect_timeout,
                      .first_byte = config.upstream_first_byte_timeout,
                      .idle = config.upstream_idle_timeout};
  options.time_limit = config.request_time_limit;
  options.sse_keepalive_interval = config.sse_keepalive_interval;
  options.outliers = {.failures_max = config.eject_after,
                      .ejected_for = config.eject_time,
                      .ejected_for_max = config.eject_time_max,
                      .percent_max = config.eject_percent_max};
  return options;
}

}  // namespace staithe::app
