#include "app/config.h"

#include <toml++/toml.h>
#include <CLI/CLI.hpp>

#include <fstream>
#include <iterator>
#include <sstream>

#include "auth/token_record.h"
#include "base/encoding.h"
#include "cli/api_client.h"

namespace staithe::app {
namespace {

Error wrong(std::string message) {
  return Error{.code = Code::invalid_argument, .message = std::move(message)};
}

// The variable and the file's key that belong to a flag: "--drain-timeout" is STAITHE_DRAIN_TIMEOUT
// and drain_timeout.
std::string variable_name(const std::string& flag) {
  std::string name = "STAITHE_" + to_upper(flag);
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}

std::string file_key(const std::string& flag) {
  std::string key = flag;
  std::replace(key.begin(), key.end(), '-', '_');
  return key;
}

// Each setting is declared once, here, and becomes a flag, a variable, a line of the file and a
// line of --help.
class Settings {
 public:
  Settings(CLI::App& app, const Environment& environment, const toml::table* file)
      : app_(app), environment_(environment), file_(file) {}

  template <typename T>
  void add(const std::string& flag, T& value, const std::string& help) {
    keys_.push_back(file_key(flag));
    from_file(flag, value);
    from_environment(flag, value);
    if constexpr (std::is_same_v<T, bool>) {
      app_.add_flag("--" + flag + ",!--no-" + flag, value, help);
    } else {
      app_.add_option("--" + flag, value, help)->capture_default_str();
    }
  }

  void add_milliseconds(const std::string& flag, std::chrono::milliseconds& value,
                        const std::string& help) {
    keys_.push_back(file_key(flag));
    std::int64_t count = value.count();
    from_file(flag, count);
    from_environment(flag, count);
    value = std::chrono::milliseconds{count};
    app_.add_option_function<std::int64_t>(
            "--" + flag, [&value](std::int64_t given) { value = std::chrono::milliseconds{given}; },
            help + " (milliseconds)")
        ->default_str(std::to_string(count));
  }

  // The first thing that was wrong with the variables or the file.
  const std::optional<Error>& problem() const { return problem_; }
  const std::vector<std::string>& keys() const { return keys_; }

 private:
  void complain(std::string text) {
    if (!problem_) problem_ = wrong(std::move(text));
  }

  template <typename T>
  void from_file(const std::string& flag, T& value) {
    if (file_ == nullptr) return;
    const std::string key = file_key(flag);
    const toml::node* node = file_->get(key);
    if (node == nullptr) return;
    if constexpr (std::is_same_v<T, std::vector<std::string>>) {
      const toml::array* items = node->as_array();
      if (items == nullptr)
        return complain(key + " in the configuration file must be a list of strings");
      value.clear();
      for (const toml::node& item : *items) {
        const auto text = item.value_exact<std::string>();
        if (!text) return complain(key + " in the configuration file must be a list of strings");
        value.push_back(*text);
      }
    } else if constexpr (std::is_same_v<T, std::string>) {
      const auto text = node->value_exact<std::string>();
      if (!text) return complain(key + " in the configuration file must be a string");
      value = *text;
    } else if constexpr (std::is_same_v<T, bool>) {
      const auto flag_value = node->value_exact<bool>();
      if (!flag_value) return complain(key + " in the configuration file must be true or false");
      value = *flag_value;
    } else {
      const auto number = node->value_exact<std::int64_t>();
      if (!number || *number < 0 ||
          static_cast<std::uint64_t>(*number) >
              static_cast<std::uint64_t>(std::numeric_limits<T>::max())) {
        return complain(key + " in the configuration file must be a whole number, 0 or more");
      }
      value = static_cast<T>(*number);
    }
  }

  template <typename T>
  void from_environment(const std::string& flag, T& value) {
    const std::string name = variable_name(flag);
    const auto found = environment_.find(name);
    if (found == environment_.end()) return;
    const std::string& text = found->second;
    if constexpr (std::is_same_v<T, std::vector<std::string>>) {
      value.clear();
      std::istringstream words(text);
      for (std::string word; words >> word;) value.push_back(word);
    } else if constexpr (std::is_same_v<T, std::string>) {
      value = text;
    } else if constexpr (std::is_same_v<T, bool>) {
      const std::string lower = to_lower(text);
      if (lower != "true" && lower != "false" && lower != "1" && lower != "0") {
        return complain(name + " must be true or false");
      }
      value = lower == "true" || lower == "1";
    } else if (!CLI::detail::lexical_cast(text, value)) {
      complain(name + " must be a whole number, 0 or more");
    }
  }

  CLI::App& app_;
  const Environment& environment_;
  const toml::table* file_;
  std::vector<std::string> keys_;
  std::optional<Error> problem_;
};

void declare(Settings& settings, Config& config) {
  settings.add("listen", config.listen, "address and port to serve on; port 0 takes a free one");
  settings.add("tls-cert", config.tls_cert,
               "PEM file of the certificate and its chain; serves https");
  settings.add("tls-key", config.tls_key, "PEM file of the certificate's key");
  settings.add("tls-listen", config.tls_listen,
               "address and port for https alone; without it --listen speaks http and https");
  settings.add("cleartext", config.cleartext, "serve http; without it --listen speaks https alone");
  settings.add("tls-client-ca", config.tls_client_ca,
               "PEM file of the authorities of client certificates");
  settings.add("tls-client-auth", config.tls_client_auth,
               "client certificates: none, optional or required; optional if there is a CA");
  settings.add("data", config.data, "directory that holds everything that must survive");
  settings.add("emulate", config.emulate,
               "no hardware and no weights: the built-in catalogue and the simulated engine");
  settings.add("bootstrap-token", config.bootstrap_tokens,
               "TOKEN=ORG:ROLE to accept from the start; repeatable");
  settings.add("organization", config.organization,
               "organization of the admin token that the first start makes");
  settings.add(
      "operator-organization", config.operator_organization,
      "organization whose admins alone look after the platform's nodes; empty: all admins");
  settings.add("public-url", config.public_url,
               "how clients reach this server, for gateway endpoints");
  settings.add("cors-origin", config.cors_origins,
               "origin of web pages that may call the API, such as https://console.example.com, or "
               "*; repeatable");
  settings.add("domain", config.domain, "gateways get host names below this domain");
  settings.add("zone", config.zone, "zone of the detected machine");
  settings.add("weights-root", config.weights_root, "directory with one directory per bucket");
  settings.add("engine-search-path", config.engine_search_path,
               "where engine binaries are looked up, like PATH");
  settings.add("engine-port-first", config.engine_port_first,
               "first port for engines; 0: any free port");
  settings.add("engine-port-last", config.engine_port_last, "last port for engines");
  settings.add("event-loops", config.event_loops,
               "threads that serve connections; 0: one per core");
  settings.add("api-workers", config.api_workers, "threads for the blocking part of API calls");
  settings.add_milliseconds("drain-timeout", config.drain_timeout,
                            "how long SIGTERM waits for open streams");
  settings.add_milliseconds("takeover-timeout", config.takeover_timeout,
                            "how long to wait for a server that has the data directory to be told "
                            "to stop; 0: not at all");
  settings.add_milliseconds("replica-drain-timeout", config.replica_drain_timeout,
                            "how long a replica may finish its streams before it is stopped");
  settings.add_milliseconds("stop-grace", config.stop_grace,
                            "how long an engine may take from TERM to KILL");
  settings.add_milliseconds("autoscale-interval", config.autoscale_interval,
                            "between two evaluations of a deployment's demand");
  settings.add_milliseconds("autoscale-up-window", config.autoscale_up_window,
                            "how long demand must ask for more replicas; 0: one evaluation");
  settings.add_milliseconds("autoscale-down-window", config.autoscale_down_window,
                            "how long fewer replicas must have been enough");
  settings.add("autoscale-load-window-starts", config.autoscale_load_window_starts,
               "for load that does not wait: and so many times what a replica takes to start");
  settings.add_milliseconds("autoscale-load-window-max", config.autoscale_load_window_max,
                            "but no longer than this because of slow starts");
  settings.add("autoscale-tolerance", config.autoscale_tolerance,
               "percent of what the replicas are for by which demand may be off for a while");
  settings.add("autoscale-utilization", config.autoscale_utilization,
               "percent of a replica's concurrency that is meant to be in use");
  settings.add("log-level", config.log_level, "debug, info, warning or error");
  settings.add("access-log", config.access_log, "log one line per gateway request");
  settings.add("otlp-endpoint", config.otlp_endpoint,
               "collector that takes OTLP over HTTP, such as http://127.0.0.1:4318; empty: none");
  settings.add("trace-sample-percent", config.trace_sample_percent,
               "of requests that come without a trace, so many begin one");
  settings.add("prefix-affinity", config.prefix_affinity,
               "send prompts that begin alike to one replica");
  settings.add("prefix-table-mib", config.prefix_table_mib,
               "memory for which replica has read which prompts, in MiB");
  settings.add("prefix-cache-kib", config.prefix_cache_kib,
               "what a replica's prefix cache is taken to hold, in KiB of prompts");
  settings.add_milliseconds("engine-metrics-interval", config.engine_metrics_interval,
                            "between two looks at the metrics of engines with work; 0: none");
  settings.add("session-header", config.session_header,
               "requests with one value of this header go to one replica; empty: none do");
  settings.add("usage", config.usage, "keep count of requests and tokens");
  settings.add_milliseconds("usage-interval", config.usage_interval,
                            "between two times that what was used is written down");
  settings.add("ask-for-usage", config.ask_for_usage,
               "make engines tell the usage of streams whose client did not ask for it");
  settings.add("wandb-endpoint", config.wandb_endpoint,
               "GraphQL endpoint that knows Weights & Biases keys, such as "
               "https://api.wandb.ai/graphql; empty: gateways take none");
  settings.add_milliseconds("wandb-timeout", config.wandb_timeout,
                            "how long it may take to say whose a key is");
  settings.add_milliseconds("model-details-interval", config.model_details_interval,
                            "how soon new engines are asked what they add to the list of models; "
                            "0: never");
  settings.add("gateway-cors-origin", config.gateway_cors_origins,
               "origin of web pages that may call gateways, or *; repeatable");
  settings.add_milliseconds("upstream-connect-timeout", config.upstream_connect_timeout,
                            "how long a connection to a replica may take");
  settings.add_milliseconds("upstream-first-byte-timeout", config.upstream_first_byte_timeout,
                            "from a request's last byte to the first of its answer; 0: no limit");
  settings.add_milliseconds("upstream-idle-timeout", config.upstream_idle_timeout,
                            "between two pieces of an answer; 0: no limit");
  settings.add_milliseconds("request-time-limit", config.request_time_limit,
                            "from a request's head to the end of its answer; 0: no limit");
  settings.add_milliseconds("sse-keepalive-interval", config.sse_keepalive_interval,
                            "how long a stream is quiet until a comment is sent; 0: for ever");
  settings.add("eject-after", config.eject_after,
               "failures in a row after which a replica gets no requests for a while; 0: never");
  settings.add_milliseconds("eject-time", config.eject_time,
                            "how long that is; twice as long each time it goes on");
  settings.add_milliseconds("eject-time-max", config.eject_time_max, "but no longer than this");
  settings.add("eject-percent-max", config.eject_percent_max,
               "percent of a deployment's replicas that may be ejected at once");
  settings.add("queue-length", config.queue_length,
               "requests of a deployment that may wait for a replica with room; 0: none");
  settings.add_milliseconds("queue-wait", config.queue_wait, "how long each of them may wait");
  settings.add("rest-error-code", config.rest_error_code,
               "code in REST error bodies: rpc (google.rpc.Code) or http");
  settings.add("strict-capacity-type", config.strict_capacity_type,
               "refuse SERVERLESS and CUSTOMER claims, as the hosted API does today");
  settings.add("default-runtime-version", config.default_runtime_version,
               "fill in a missing runtime.version");
  settings.add("claim-zones-max", config.claim_zones_max, "zones a claim may list; 0: any number");
  settings.add("claims-max", config.claims_max, "claims per organization; 0: no limit");
  settings.add("claim-instances-max", config.claim_instances_max,
               "claimed instances per organization; 0: no limit");
  settings.add("deployments-max", config.deployments_max,
               "deployments per organization; 0: no limit");
  settings.add("gateways-max", config.gateways_max, "gateways per organization; 0: no limit");
}

Result<void> read_buckets(const toml::node& node, Config& config) {
  const toml::table* table = node.as_table();
  if (table == nullptr) return wrong("[buckets] must be a table of bucket = \"directory\"");
  for (const auto& [name, value] : *table) {
    const auto directory = value.value_exact<std::string>();
    if (!directory)
      return wrong("buckets." + std::string(name.str()) + " must be a directory as a string");
    config.buckets[std::string(name.str())] = *directory;
  }
  return {};
}

Result<void> read_nodes(const toml::node& node, Config& config) {
  const toml::array* items = node.as_array();
  if (items == nullptr) return wrong("[[nodes]] must be a list of tables");
  for (const toml::node& item : *items) {
    const toml::table* table = item.as_table();
    if (table == nullptr) return wrong("[[nodes]] must be a list of tables");
    NodeGroup group;
    group.zone = (*table)["zone"].value_or(std::string{});
    group.instance_type = (*table)["instance_type"].value_or(std::string{});
    group.owner_organization = (*table)["owner"].value_or(std::string{});
    const std::int64_t gpus = (*table)["gpus"].value_or(std::int64_t{1});
    const std::int64_t count = (*table)["count"].value_or(std::int64_t{1});
    if (group.zone.empty() || group.instance_type.empty()) {
      return wrong("each of [[nodes]] needs zone and instance_type");
    }
    if (gpus < 1 || gpus > 64) return wrong("nodes.gpus must be 1 to 64");
    if (count < 1 || count > 10'000) return wrong("nodes.count must be 1 to 10000");
    group.gpu_count = static_cast<std::uint32_t>(gpus);
    group.count = static_cast<std::uint32_t>(count);
    config.nodes.push_back(std::move(group));
  }
  return {};
}

Result<void> read_limit(const std::string& where, const toml::node& node,
                        gateway::LimitRule& rule) {
  const toml::table* table = node.as_table();
  if (table == nullptr) return wrong("[" + where + "] must be a table");
  for (const auto& [key, value] : *table) {
    const std::string name(key.str());
    std::uint32_t* const number = name == "requests_per_minute" ? &rule.requests_per_minute
                                  : name == "tokens_per_minute" ? &rule.tokens_per_minute
                                  : name == "parallel_requests" ? &rule.parallel_requests
                                                                : nullptr;
    if (number == nullptr) {
      return wrong("[" + where + "] has an unknown key " + name +
                   "; it may have requests_per_minute, tokens_per_minute and parallel_requests");
    }
    const auto given = value.value_exact<std::int64_t>();
    if (!given || *given < 0 || *given > std::numeric_limits<std::uint32_t>::max()) {
      return wrong(where + "." + name + " must be a whole number, 0 (no limit) to 4294967295");
    }
    *number = static_cast<std::uint32_t>(*given);
  }
  return {};
}

Result<void> read_limits(const toml::node& node, Config& config) {
  const toml::table* table = node.as_table();
  if (table == nullptr) return wrong("[limits] must be a table of tables");
  for (const auto& [key, value] : *table) {
    const std::string name(key.str());
    if (name == "each_organization") {
      TRY(read_limit("limits." + name, value, config.limit_each_organization));
    } else if (name == "each_token") {
      TRY(read_limit("limits." + name, value, config.limit_each_token));
    } else {
      return wrong("[limits] has an unknown key " + name +
                   "; it may have each_organization and each_token");
    }
  }
  return {};
}

// The structured parts of the file, and a complaint about any key that means nothing.
Result<void> read_tables(const toml::table& file, const std::string& text,
                         const std::vector<std::string>& known, Config& config) {
  for (const auto& [key, node] : file) {
    const std::string name(key.str());
    if (name == "buckets") {
      TRY(read_buckets(node, config));
    } else if (name == "nodes") {
      TRY(read_nodes(node, config));
    } else if (name == "limits") {
      TRY(read_limits(node, config));
    } else if (name == "engines") {
      if (!node.is_table()) {
        return wrong("[engines] must be a table of tables, one per engine");
      }
      // Read by runtime, from the whole text, so that it can name lines.
      config.engines_toml = text;
    } else if (std::find(known.begin(), known.end(), name) == known.end()) {
      return wrong("the configuration file has an unknown key " + name +
                   "; see staithe serve --help");
    }
  }
  return {};
}

// --config is needed before the other flags can be declared with the file's values as their
// defaults.
std::string find_config_path(const std::vector<std::string>& arguments,
                             const Environment& environment) {
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    if (arguments[i] == "--config" && i + 1 < arguments.size()) return arguments[i + 1];
    if (arguments[i].starts_with("--config=")) return arguments[i].substr(9);
  }
  const auto found = environment.find("STAITHE_CONFIG");
  return found == environment.end() ? std::string{} : found->second;
}

Result<void> check_tls(const Config& config) {
  const bool has_certificate = !config.tls_cert.empty();
  if (has_certificate && config.tls_key.empty()) {
    return wrong("--tls-cert needs --tls-key, the file of the key it was made for");
  }
  if (!has_certificate && !config.tls_key.empty()) {
    return wrong("--tls-key needs --tls-cert, the file of the certificate made for it");
  }
  const std::string& mode = config.tls_client_auth;
  if (!mode.empty() && mode != "none" && mode != "optional" && mode != "required") {
    return wrong("--tls-client-auth must be none, optional or required");
  }
  const bool asks_for_certificates = mode == "optional" || mode == "required";
  if (asks_for_certificates && config.tls_client_ca.empty()) {
    return wrong("--tls-client-auth " + mode +
                 " needs --tls-client-ca, the file of the authorities to trust");
  }
  if (!has_certificate) {
    const char* const flag = !config.cleartext               ? "--no-cleartext"
                             : !config.tls_listen.empty()    ? "--tls-listen"
                             : !config.tls_client_ca.empty() ? "--tls-client-ca"
                                                             : nullptr;
    if (flag != nullptr) return wrong(std::string(flag) + " needs --tls-cert and --tls-key");
  }
  if (!config.cleartext && !config.tls_listen.empty()) {
    return wrong(
        "--no-cleartext makes --listen the port for https; leave --tls-listen out, or serve http "
        "on --listen");
  }
  return {};
}

// As browsers spell it (RFC 6454 section 6.2).
bool is_origin(std::string_view text) {
  if (text == "*") return true;
  const auto host = text.find("://");
  return host != std::string_view::npos && host > 0 && host + 3 < text.size() &&
         text.find('/', host + 3) == std::string_view::npos && to_lower(text) == text;
}

Result<void> check_origins(const std::string& flag, const std::vector<std::string>& origins) {
  for (const std::string& origin : origins) {
    if (is_origin(origin)) continue;
    return wrong(flag + " must be * or scheme://host[:port] without a path, not \"" + origin +
                 "\"");
  }
  return {};
}

Result<void> check_between(const char* flag, std::int64_t value, std::int64_t least,
                           std::int64_t most) {
  if (value >= least && value <= most) return {};
  return wrong(std::string(flag) + " must be " + std::to_string(least) + " to " +
               std::to_string(most));
}

Result<void> check_replica_choice(const Config& config) {
  TRY(check_between("--prefix-table-mib", config.prefix_table_mib, 1, 64 * 1024));
  if (config.engine_metrics_interval.count() == 0) return {};
  return check_between("--engine-metrics-interval", config.engine_metrics_interval.count(), 100,
                       60'000);
}

Result<void> check_usage(const Config& config) {
  return check_between("--usage-interval", config.usage_interval.count(), 100, 3'600'000);
}

Result<void> check_wandb(const Config& config) {
  if (!config.wandb_endpoint.empty() && !cli::parse_server(config.wandb_endpoint)) {
    return wrong(
        "--wandb-endpoint must be the URL of a GraphQL endpoint that knows Weights & Biases keys, "
        "such as https://api.wandb.ai/graphql");
  }
  return check_between("--wandb-timeout", config.wandb_timeout.count(), 100, 60'000);
}

Result<void> check_gateway_limits(const Config& config) {
  constexpr std::int64_t day_ms = 86'400'000;
  TRY(check_between("--queue-length", config.queue_length, 0, 1'000'000));
  TRY(check_between("--queue-wait", config.queue_wait.count(), 0, 3'600'000));
  TRY(check_between("--upstream-connect-timeout", config.upstream_connect_timeout.count(), 1,
                    600'000));
  TRY(check_between("--upstream-first-byte-timeout", config.upstream_first_byte_timeout.count(), 0,
                    day_ms));
  TRY(check_between("--upstream-idle-timeout", config.upstream_idle_timeout.count(), 0, day_ms));
  TRY(check_between("--request-time-limit", config.request_time_limit.count(), 0, day_ms));
  if (config.sse_keepalive_interval.count() != 0) {
    TRY(check_between("--sse-keepalive-interval", config.sse_keepalive_interval.count(), 100,
                      600'000));
  }
  if (config.model_details_interval.count() != 0) {
    TRY(check_between("--model-details-interval", config.model_details_interval.count(), 100,
                      600'000));
  }
  TRY(check_between("--eject-time", config.eject_time.count(), 1, day_ms));
  TRY(check_between("--eject-time-max", config.eject_time_max.count(), config.eject_time.count(),
                    day_ms));
  return check_between("--eject-percent-max", config.eject_percent_max, 0, 100);
}

Result<void> check_autoscaling(const Config& config) {
  constexpr std::int64_t hour_ms = 3'600'000;
  TRY(check_between("--autoscale-interval", config.autoscale_interval.count(), 100, 60'000));
  TRY(check_between("--autoscale-up-window", config.autoscale_up_window.count(), 0, hour_ms));
  TRY(check_between("--autoscale-down-window", config.autoscale_down_window.count(), 0, hour_ms));
  TRY(check_between("--autoscale-load-window-max", config.autoscale_load_window_max.count(), 0,
                    hour_ms));
  TRY(check_between("--autoscale-load-window-starts", config.autoscale_load_window_starts, 0, 100));
  TRY(check_between("--autoscale-tolerance", config.autoscale_tolerance, 0, 50));
  TRY(check_between("--autoscale-utilization", config.autoscale_utilization, 10, 100));
  return {};
}

Result<void> check(const Config& config) {
  TRY(check_tls(config));
  TRY(check_autoscaling(config));
  TRY(check_replica_choice(config));
  TRY(check_usage(config));
  TRY(check_wandb(config));
  TRY(check_gateway_limits(config));
  if (!config.otlp_endpoint.empty() && !cli::parse_server(config.otlp_endpoint)) {
    return wrong(
        "--otlp-endpoint must be http://HOST:PORT or https://HOST:PORT of a collector that takes "
        "OTLP over HTTP, such as http://127.0.0.1:4318");
  }
  TRY(check_between("--trace-sample-percent", config.trace_sample_percent, 0, 100));
  if (config.rest_error_code != "rpc" && config.rest_error_code != "http") {
    return wrong("--rest-error-code must be rpc or http");
  }
  if (config.log_level != "debug" && config.log_level != "info" && config.log_level != "warning" &&
      config.log_level != "error") {
    return wrong("--log-level must be debug, info, warning or error");
  }
  if (!config.operator_organization.empty() &&
      !auth::is_organization_id(config.operator_organization)) {
    return wrong("--operator-organization must be six characters, cw and 4 hexadecimal digits");
  }
  TRY(check_origins("--cors-origin", config.cors_origins));
  TRY(check_origins("--gateway-cors-origin", config.gateway_cors_origins));
  if (config.api_workers < 1 || config.api_workers > 256)
    return wrong("--api-workers must be 1 to 256");
  if (config.event_loops > 256) return wrong("--event-loops must be at most 256");
  if (config.engine_port_first > config.engine_port_last) {
    return wrong("--engine-port-first must not be above --engine-port-last");
  }
  return {};
}

}  // namespace

Result<Config> read_config(const std::vector<std::string>& arguments,
                           const Environment& environment) {
  Config config;
  config.config_path = find_config_path(arguments, environment);
  std::optional<toml::table> file;
  std::string file_text;
  if (!config.config_path.empty()) {
    std::ifstream stream(config.config_path);
    if (!stream) return wrong("cannot read the configuration file " + config.config_path);
    file_text.assign(std::istreambuf_iterator<char>(stream), {});
    try {
      file = toml::parse(file_text, config.config_path);
    } catch (const toml::parse_error& error) {
      std::ostringstream where;
      where << error.source().begin;
      return wrong("cannot read the configuration file " + config.config_path + ": " +
                   std::string(error.description()) + " at " + where.str());
    }
  }

  CLI::App app{"Serves the inference API, its gateways and its reconcilers on one port."};
  app.name("staithe serve");
  Settings settings(app, environment, file ? &*file : nullptr);
  declare(settings, config);
  app.add_option("--config", config.config_path, "TOML file with these settings");
  if (settings.problem()) return *settings.problem();
  if (file) TRY(read_tables(*file, file_text, settings.keys(), config));

  try {
    std::vector<std::string> reversed(arguments.rbegin(), arguments.rend());
    app.parse(std::move(reversed));
  } catch (const CLI::CallForHelp&) {
    return Error{.code = Code::cancelled, .message = app.help()};
  } catch (const CLI::ParseError& error) {
    return wrong(std::string(error.what()) + "; see staithe serve --help");
  }
  TRY(check(config));
  return config;
}

}  // namespace staithe::app
