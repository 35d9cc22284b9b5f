#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "gateway/choose.h"
#include "gateway/demand.h"
#include "gateway/deployment_queue.h"
#include "gateway/errors.h"
#include "gateway/forward_headers.h"
#include "gateway/gateway.h"
#include "gateway/phase_book.h"
#include "gateway/request_plan.h"
#include "gateway/responses_watch.h"
#include "gateway/sse_tail.h"
#include "gateway/usage_watch.h"
#include "net/deadline.h"

namespace staithe::gateway {

// Of a request, to be told how its replica was chosen; of the answer, how it was.
inline constexpr std::string_view routing_header = "staithe-routing";

// One inference request from head to last byte.
//
//   auth ──key known──▶ receiving, for gateways whose keys somebody else knows
//
//   receiving ──body whole──▶ connecting ──▶ waiting ──head──▶ streaming ──end or failure──▶ over
//     │ the body names the       ▲               │ never delivered: once more elsewhere
//     │ model or is rewritten    └───────────────┘
//     └─ any other body: connecting at once, and its bytes pass through as they come
//
//   connecting ◀──a replica has room── queued, when all replicas of the deployment are full
//
// An answer of our own, which needs no replica or has none, leads from any phase but the last two
// to `over`. A client that goes away at any point destroys the upstream exchange, which closes the
// connection to the replica: that is how an engine learns that nobody waits.
//
// Its parts by file: proxy_admission (who and what), proxy_request (the way in), proxy_queue
// (until there is room), proxy_upstream (to the replica), proxy_answer (the way back), proxy_record
// (what is kept of it).
class ProxyExchange final : public net::ExchangeHandler {
 public:
  ProxyExchange(Gateway& gateway, const net::RequestHead& head, net::Exchange& exchange);
  ~ProxyExchange() override;

  // net::ExchangeHandler: the client.
  void on_body(std::string_view bytes) override;
  void on_request_end() override;
  void on_writable() override;
  void on_cancelled() override;

  // The newest route table is another. Null, or the queue that this waits in and that may move on.
  DeploymentQueue* follow_routes();

 private:
  using Phase = RequestPhase;

  // A request's head, kept until it is known whose key it carries.
  struct KeptHead {
    explicit KeptHead(const net::RequestHead& head);
    std::string method;
    std::string target;
    net::OwnedHeaders headers;
    net::RequestHead view;  // of the above
  };

  // The request as it may have to be sent, kept until that is certain not to happen (again). On the
  // heap, because an open stream lives long without it.
  struct Request {
    std::shared_ptr<const RouteTable> table;  // keeps the next two
    const ServedGateway* gateway = nullptr;
    const ServedModel* model = nullptr;
    UsageCaller caller;
    std::string method;
    std::string target;
    std::string content_type;
    StoredHeaders headers;
    net::BodyFraming framing;    // as the client framed it
    Prefix prompt;               // empty: none was found
    std::uint64_t session = 0;   // a hash of the session's name; 0: it has none
    bool wants_routing = false;  // asks to be told how its replica was chosen
    std::string routing;         // the answer to that
    std::string body;
    std::size_t body_given_bytes = 0;     // to the replica, of a collected body
    bool is_body_lost = false;            // bytes went through that are kept no more
    std::shared_ptr<ReplicaLoad> failed;  // that could not be connected to
    bool was_retried = false;
  };

  // What a request has while it is queued.
  struct Wait {
    Wait(ProxyExchange& exchange, const ServedDeployment& deployment);
    ~Wait();
    const std::string deployment_id;
    DeploymentMetrics& metrics;
    const Instant since;
    ProxyExchange& owner;
    std::unique_ptr<DeploymentQueue::Place> place;
    net::TimerId timer = 0;
  };

  // The replica's callbacks have names of their own, since the client's are taken.
  struct Upstream final : public net::ClientHandler {
    explicit Upstream(ProxyExchange& exchange) : owner(exchange) {}
    void on_connected() override { owner.take_connection(); }
    void on_head(const net::ResponseHead& head) override { owner.take_answer_head(head); }
    void on_body(std::string_view bytes) override { owner.take_answer_body(bytes); }
    void on_end() override { owner.take_answer_end(); }
    void on_failure(const net::ClientFailure& failure) override { owner.take_failure(failure); }
    void on_writable() override { owner.take_upstream_room(); }
    ProxyExchange& owner;
  };

  void enter(Phase phase);
  void start(const net::RequestHead& head);
  void proceed(const net::RequestHead& head, std::string_view target);
  std::optional<ApiError> admit(const net::RequestHead& head);
  void ask_whose_key(const net::RequestHead& head, std::string_view target);
  std::optional<ApiError> admit_owner(const KeyAnswer& answer);
  void take_owner(const KeyAnswer& answer);
  void start_forward(const net::RequestHead& head, Forward forward);
  std::optional<ApiError> meet_limits(const net::RequestHead& head);
  std::optional<ApiError> check_model() const;
  std::optional<ApiError> find_model(AnswerWish& wish);
  std::optional<ApiError> rewrite_model(AnswerWish& wish);

  void wait_in_queue(const ServedDeployment& deployment);
  void watch_wait();
  void take_turn(DeploymentQueue::Turn turn);
  const ServedDeployment* awaited_deployment() const;
  void leave_for_another_deployment();
  void refuse_full(Counter* counter);

  std::optional<ApiError> take_newest_table();
  void send_upstream();
  bool send_to_replica_of(const ServedDeployment& deployment);
  ReplicaChoice choose_replica(const ServedDeployment& deployment);
  void count_choice(const ServedDeployment& deployment, const ReplicaChoice& choice);
  void send_to(const ServedReplica& replica);
  void take_connection();
  void feed_collected_body();
  void pass_body(std::string_view bytes);
  bool try_elsewhere(const net::ClientFailure& failure);

  void take_answer_head(const net::ResponseHead& head);
  void take_answer_body(std::string_view bytes);
  void pass_answer_body(std::string_view bytes);
  void take_answer_end();
  void take_failure(const net::ClientFailure& failure);
  void take_upstream_room();
  void break_stream(const ApiError& error);
  bool is_answer_said() const;
  void begin_events();
  void send_keepalive();
  void run_out_of_time();
  void count_replica_failure();

  void answer(std::string_view json);
  void answer_preflight(const net::RequestHead& head);
  void add_cors(net::HeaderList& headers) const;
  void refuse(const ApiError& error);
  void send_json(net::AnswerHead& answer, std::string_view json);
  void stop_clocks();
  void end(std::uint16_t status);
  void record(std::uint16_t status, UsageWatch::End how);
  void book_usage(UsageWatch::End how);
  void observe_pace(UsageWatch::End how, const UsageTotals& used);
  void end_span(std::uint16_t status);

  Gateway& gateway_;
  net::Exchange& exchange_;
  Upstream upstream_handler_{*this};
  std::unique_ptr<Request> request_;
  std::unique_ptr<net::ClientExchange> upstream_;
  DemandGuard demand_;
  InFlight in_flight_;
  RequestCounters* counters_;
  DeploymentMetrics* metrics_ = nullptr;  // once a deployment is chosen
  std::unique_ptr<Wait> wait_;            // null: not queued
  std::unique_ptr<KeptHead> kept_head_;
  std::shared_ptr<ProxyExchange*> self_;  // for an answer that may come after us
  WandbKeys::WaitHandle key_wait_;
  const Instant started_;
  std::string request_id_;
  std::unique_ptr<const std::string> origin_;  // of the web page that asks and may; null: none
  std::unique_ptr<RequestSpan> span_;          // null: not traced, or over
  std::unique_ptr<UsageWatch> usage_;          // null: not counted
  std::unique_ptr<LimitGuard> limits_;         // null: not limited
  std::unique_ptr<net::Deadline> time_limit_;  // null: it may last as long as it does
  std::unique_ptr<net::Deadline> keepalive_;   // null: a quiet stream stays quiet
  std::unique_ptr<ResponsesWatch> responses_;  // null: not a stream of the Responses API
  std::unique_ptr<std::string> error_text_;    // null: the answer passes as it is
  SseTail sse_tail_;
  Instant first_byte_at_;     // if there is one
  std::uint16_t status_ = 0;  // of the replica's answer
  Phase phase_ = Phase::over;
  bool is_passing_ = false;  // the request's body
  bool is_request_whole_ = false;
  bool is_event_stream_ = false;
  bool has_first_byte_ = false;
};

}  // namespace staithe::gateway
