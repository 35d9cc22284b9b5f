#pragma once

#include <chrono>
#include <cstddef>
#include <string>

#include "gateway/choose.h"
#include "gateway/cors.h"
#include "gateway/limits.h"
#include "gateway/outlier.h"
#include "gateway/request_span.h"
#include "gateway/usage_table.h"
#include "gateway/wandb_keys.h"
#include "net/http_client.h"

namespace staithe::gateway {

// Requests that wait because all replicas of their deployment have as many as it allows each.
struct QueueOptions {
  std::size_t length_max = 1024;  // of each deployment; 0: nobody waits
  std::chrono::milliseconds wait_max{60'000};
};

struct Options {
  // A body in which the gateway looks for `model` is held in memory until it is whole; a larger one
  // is answered 413. Bodies that need no look (audio under header routing, say) stream through
  // without a limit. A 12 MB picture in a chat message is everyday.
  std::size_t body_bytes_max = 64 * 1024 * 1024;
  // Towards replicas: connecting, the first byte, and silence within an answer. Only connecting is
  // limited by default, because a long prompt may take minutes to its first token.
  net::ClientTimeouts upstream;
  // How long a replica that could not be connected to is passed over while others are there.
  std::chrono::milliseconds replica_avoided_for{2'000};
  // When a replica that fails one request after the other is passed over.
  OutlierOptions outliers;
  // From a request's head to the last byte of its answer; 0: no limit. A stream that lives is not
  // to be cut by default, however long it takes.
  std::chrono::milliseconds time_limit{0};
  // How long a stream of events may be quiet before its client gets a comment, for proxies that
  // close what is quiet; 0: for ever. Only once the engine has answered, since until then the
  // answer may still be an error with a status of its own.
  std::chrono::milliseconds sse_keepalive_interval{0};
  // How a replica is chosen within a deployment.
  ChooseOptions choose;
  QueueOptions queue;
  // Whether prompts that begin alike go to one replica, which keeps what it has read.
  bool has_prefix_affinity = true;
  // Requests with one value of this header go to one replica while it is there; empty: none does.
  std::string session_header = "x-session-id";
  // How often engines with work are asked for their metrics, which are taken as hints; 0: never.
  std::chrono::milliseconds engine_metrics_interval{0};
  // Web pages that may call.
  CorsPolicy cors;
  // How soon engines that are new are asked what they have to say of their models; 0: never.
  std::chrono::milliseconds model_cards_interval{0};
  // Whether answers name the deployment that made them (x-inference-deployment).
  bool is_deployment_shown = true;
  // One log line per request; never with tokens, keys or prompts.
  bool is_access_logged = false;
  // Where the tokens of requests are counted; null: nowhere. Outlives the gateway.
  UsageBook* usage = nullptr;
  // Whether streaming requests that do not ask for usage are made to, without their client
  // noticing.
  bool may_ask_for_usage = true;
  // Who takes the spans of requests, and of which. The sink outlives the gateway.
  TraceOptions trace;
  // How much callers may use; null: as much as they like. Outlives the gateway.
  LimitBook* limits = nullptr;
  // Who knows the keys of Weights & Biases; null: such gateways take none. Outlives the gateway.
  WandbKeys* wandb_keys = nullptr;
};

}  // namespace staithe::gateway
