#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "gateway/errors.h"
#include "gateway/forward_headers.h"
#include "gateway/gateway.h"
#include "gateway/request_plan.h"
#include "gateway/sse_tail.h"

namespace staithe::gateway {

// One inference request from head to last byte.
//
//              answer known from the head
//   start ──────────────────────────────────▶ answering (after the body, which is dropped)
//     │ forward                                   ▲
//     ▼                                           │ 4xx, 5xx of ours
//   collecting ──body whole──▶ waiting ──head──▶ streaming ──▶ over
//     │ (model needed)          ▲   │ undelivered: once more elsewhere
//     └──────────── passing ────┘   └──▶ waiting
//       (model known, body of another kind: bytes go through as they come)
//
// A client that goes away at any point destroys this, and with it the upstream exchange, which
// closes the connection to the replica: that is how an engine learns that nobody waits.
class ProxyExchange final : public net::ExchangeHandler {
 public:
  ProxyExchange(Gateway& gateway, const net::RequestHead& head, net::Exchange& exchange);
  ~ProxyExchange() override;

  // net::ExchangeHandler: the client.
  void on_body(std::string_view bytes) override;
  void on_request_end() override;
  void on_writable() override;
  void on_cancelled() override;

 private:
  enum class Phase : std::uint8_t { collecting, passing, waiting, streaming, answering, over };

  // The replica's side.
  void take_answer_head(const net::ResponseHead& head);
  void take_answer_body(std::string_view bytes);
  void take_answer_end();
  void take_failure(const net::ClientFailure& failure);
  void take_upstream_room();

  void start(const net::RequestHead& head);
  void start_forward(const net::RequestHead& head, Forward forward);
  std::optional<ApiError> admit(const net::RequestHead& head, std::string_view rest);
  std::optional<ApiError> find_model();
  std::optional<ApiError> rewrite_model();
  void send_upstream(net::BodyFraming framing);
  bool try_elsewhere(const net::ClientFailure& failure);
  void answer_json(std::string text);
  void fail(const ApiError& error);
  void send_answer();
  void end(std::uint16_t status);

  // The replica's callbacks have names of their own, since the client's are taken.
  struct Upstream final : public net::ClientHandler {
    explicit Upstream(ProxyExchange& exchange) : owner(exchange) {}
    void on_head(const net::ResponseHead& head) override { owner.take_answer_head(head); }
    void on_body(std::string_view bytes) override { owner.take_answer_body(bytes); }
    void on_end() override { owner.take_answer_end(); }
    void on_failure(const net::ClientFailure& failure) override { owner.take_failure(failure); }
    void on_writable() override { owner.take_upstream_room(); }
    ProxyExchange& owner;
  };

  Gateway& gateway_;
  net::Exchange& exchange_;
  Upstream upstream_handler_{*this};
  std::unique_ptr<net::ClientExchange> upstream_;
  std::shared_ptr<const RouteTable> table_;  // keeps what follows until the answer begins
  const ServedGateway* served_ = nullptr;
  const ServedModel* model_ = nullptr;
  const ReplicaLoad* excluded_ = nullptr;
  std::shared_ptr<ReplicaLoad> excluded_owner_;
  InFlight in_flight_;
  RequestCounters* counters_ = nullptr;
  DeploymentMetrics* metrics_ = nullptr;
  Instant started_;

  std::string request_id_;
  std::string method_;
  std::string target_;
  std::string content_type_;
  StoredHeaders headers_;
  std::string body_;               // the request's while it is needed, then the answer of ours
  std::uint64_t body_length_ = 0;  // as announced
  std::uint64_t dropped_bytes_ = 0;
  std::uint16_t status_ = 0;
  std::uint32_t retry_after_s_ = 0;
  std::string_view allow_;
  SseTail sse_tail_;

  Phase phase_ = Phase::collecting;
  bool has_body_ = false;
  bool is_request_whole_ = false;
  bool is_continue_expected_ = false;
  bool is_event_stream_ = false;
  bool has_first_byte_ = false;
  bool was_retried_ = false;
  bool is_challenge_wanted_ = false;
  bool is_body_lost_ = false;  // bytes went through that were not kept
};

}  // namespace staithe::gateway
