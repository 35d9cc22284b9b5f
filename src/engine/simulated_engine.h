#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <string>

#include "base/clock.h"
#include "base/metrics.h"
#include "base/random.h"
#include "engine/options.h"
#include "net/event_loop.h"
#include "net/exchange.h"

namespace staithe::engine {

class GenerationExchange;

// A vLLM-like engine without a model: the same routes, answers, errors and metric families, with
// latencies and texts drawn from a seed. One event loop, a timer per running request, thousands of
// them at once.
//
//   GET /health /v1/models /metrics /version     POST /v1/chat/completions /v1/completions
//   /v1/embeddings /tokenize
class SimulatedEngine final : public net::RequestRouter {
 public:
  SimulatedEngine(net::EventLoop& loop, const Clock& clock, Options options);
  ~SimulatedEngine() override;

  std::unique_ptr<net::ExchangeHandler> on_request(const net::RequestHead& head,
                                                   net::Exchange& exchange) override;

  std::size_t running_count() const { return running_count_; }
  std::size_t waiting_count() const { return waiting_.size(); }

 private:
  friend class GenerationExchange;

  bool is_loaded() const;
  std::string draw_metrics() const;
  // A request enters the batch, or waits until one leaves it.
  void admit(GenerationExchange& exchange);
  void leave(GenerationExchange& exchange);
  double draw_ms(const Latency& latency);

  net::EventLoop& loop_;
  const Clock& clock_;
  const Options options_;
  const Instant started_;
  const std::int64_t created_s_;
  SeededRandom random_;
  std::uint64_t answer_count_ = 0;
  std::size_t running_count_ = 0;
  std::uint64_t kv_tokens_ = 0;
  std::deque<GenerationExchange*> waiting_;

  Metrics metrics_;
  MetricLabels labels_;
  Counter& prompt_tokens_;
  Counter& generation_tokens_;
  Histogram& time_to_first_token_;
  Histogram& inter_token_;
  Histogram& end_to_end_;
};

}  // namespace staithe::engine
