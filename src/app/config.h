#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/result.h"
#include "gateway/limits.h"

namespace staithe::app {

// Virtual machines declared in configuration: `count` equal nodes.
struct NodeGroup {
  std::string zone;
  std::string instance_type;
  std::uint32_t gpu_count = 1;
  std::uint32_t count = 1;
  std::string owner_organization;  // empty: the platform's
};

// Everything `staithe serve` can be told. Each scalar is one flag (--name-like-this), one variable
// (STAITHE_NAME_LIKE_THIS) and one line of the TOML file (name_like_this = ...); a flag beats a
// variable, which beats the file.
struct Config {
  std::string listen = "127.0.0.1:8080";
  std::string data = "./staithe-data";
  std::string config_path;
  bool emulate = false;
  std::vector<std::string> bootstrap_tokens;  // TOKEN=ORG:ROLE
  std::string organization = "cw0000";        // of the first admin token
  std::string operator_organization;          // see service::ServiceOptions

  // TLS, if there is a certificate. One port speaks both unless there is a second one.
  std::string tls_cert;  // PEM files
  std::string tls_key;
  std::string tls_client_ca;
  std::string tls_client_auth;  // none, optional or required; empty: optional if there is a CA
  std::string tls_listen;       // a port of its own for https
  bool cleartext = true;        // false: the one port speaks https only

  std::string public_url;                 // how clients reach this server; empty: as it is served
  std::string domain;                     // non-empty: gateways get host names below it
  std::vector<std::string> cors_origins;  // web pages that may call the API; "*": all

  std::string zone = "US-LOCAL-01A";           // of the detected machine
  std::string weights_root;                    // holds one directory per bucket
  std::map<std::string, std::string> buckets;  // bucket -> directory, before weights_root
  std::vector<NodeGroup> nodes;                // declared instead of the detected machine
  std::string engines_toml;                    // the whole file, if it has [engines] tables
  std::string engine_search_path;              // where engine binaries are looked up; empty: PATH
  std::uint16_t engine_port_first = 0;         // 0: any free port
  std::uint16_t engine_port_last = 0;

  std::uint32_t event_loops = 0;                       // 0: one per core
  std::uint32_t api_workers = 4;                       // threads for the blocking part of API calls
  std::chrono::milliseconds drain_timeout{30'000};     // of this server on SIGTERM
  std::chrono::milliseconds takeover_timeout{10'000};  // of the server before us
  std::chrono::milliseconds replica_drain_timeout{30'000};
  std::chrono::milliseconds stop_grace{10'000};  // between TERM and KILL of an engine
  std::string log_level = "info";
  bool access_log = false;
  std::string otlp_endpoint;  // empty: no traces
  std::uint32_t trace_sample_percent = 100;
  bool prefix_affinity = true;
  std::uint32_t prefix_table_mib = 32;    // of this process
  std::uint32_t prefix_cache_kib = 4096;  // of each replica, in bytes of prompts
  std::chrono::milliseconds engine_metrics_interval{1000};
  std::string session_header = "x-session-id";
  std::chrono::milliseconds model_details_interval{2'000};
  std::vector<std::string> gateway_cors_origins;  // web pages that may call gateways; "*": all
  // What gateways put up with. 0: no limit.
  std::chrono::milliseconds upstream_connect_timeout{5'000};
  std::chrono::milliseconds upstream_first_byte_timeout{0};
  std::chrono::milliseconds upstream_idle_timeout{0};
  std::chrono::milliseconds request_time_limit{0};
  std::chrono::milliseconds sse_keepalive_interval{0};  // 0: none
  std::uint32_t eject_after = 5;                        // failures in a row; 0: never
  std::chrono::milliseconds eject_time{10'000};         // the first time
  std::chrono::milliseconds eject_time_max{300'000};
  std::uint32_t eject_percent_max = 50;  // of a deployment's replicas
  std::uint32_t queue_length = 1024;     // of each deployment
  std::chrono::milliseconds queue_wait{60'000};

  bool usage = true;  // counted and kept: who used how many tokens of what
  std::chrono::milliseconds usage_interval{5'000};
  bool ask_for_usage = true;  // makes streams tell it; see gateway::Options

  // How deployments follow demand between their min and max; reconcile/autoscale.h says what each
  // does.
  std::chrono::milliseconds autoscale_interval{1'000};
  std::chrono::milliseconds autoscale_up_window{0};
  std::chrono::milliseconds autoscale_down_window{60'000};
  std::uint32_t autoscale_load_window_starts = 10;
  std::chrono::milliseconds autoscale_load_window_max{600'000};
  std::uint32_t autoscale_tolerance = 10;     // percent
  std::uint32_t autoscale_utilization = 100;  // percent

  // Whom to ask about the Weights & Biases keys of callers; empty: nobody, and none is taken.
  std::string wandb_endpoint;
  std::chrono::milliseconds wandb_timeout{5'000};

  // How much everybody may use for whom nothing else was set (`staithe limit`).
  gateway::LimitRule limit_each_organization;
  gateway::LimitRule limit_each_token;

  // Where the hosted API's generations disagree; docs/compatibility.md says what each does.
  std::string rest_error_code = "rpc";  // rpc or http
  bool strict_capacity_type = false;
  bool default_runtime_version = false;
  std::uint32_t claim_zones_max = 0;  // 0: no cap

  // Quotas of each organization; 0: none.
  std::uint32_t claims_max = 0;
  std::uint32_t claim_instances_max = 0;
  std::uint32_t deployments_max = 0;
  std::uint32_t gateways_max = 0;
};

// What the process was started with. main() reads the environment; nothing below it does.
using Environment = std::map<std::string, std::string>;

// Reads the flags after `serve`, the variables and the file. INVALID_ARGUMENT carries the one line
// that says what to change; CANCELLED carries the help text to print.
Result<Config> read_config(const std::vector<std::string>& arguments,
                           const Environment& environment);

}  // namespace staithe::app
