#include "gateway/proxy_exchange.h"

#include <charconv>
#include <chrono>
#include <string>
#include <utility>

#include "auth/token.h"
#include "gateway/choose.h"
#include "gateway/model_list.h"

namespace staithe::gateway {
namespace {

// A collected body goes to the replica in slices, so that it waits here and not once more in the
// connection's queue.
constexpr std::size_t slice_bytes = 64 * 1024;
// What has gone through is kept for a retry up to this size. Connecting is what may be retried, and
// until that is done no more than the high-water mark goes through.
constexpr std::size_t passed_bytes_kept_max = 256 * 1024;
// What logs and traces call the end of a request whose client left.
constexpr std::uint16_t status_client_gone = 499;
// A collected body above this size is let go once it was given away whole.
constexpr std::size_t given_bytes_kept_max = 1024 * 1024;
// Of a request, to be told how its replica was chosen; of the answer, how it was.
constexpr std::string_view routing_header = "staithe-routing";

ApiError explain(PeekProblem problem, std::string_view content_type) {
  switch (problem) {
    case PeekProblem::not_json:
      return errors::bad_request("The request body is not valid JSON.");
    case PeekProblem::not_an_object:
      return errors::bad_request("The request body must be a JSON object.");
    case PeekProblem::not_multipart:
      return errors::bad_request("The request body is not valid multipart/form-data.");
    case PeekProblem::missing:
      return errors::bad_request(is_multipart_form(content_type)
                                     ? "The form must name the model in its field \"model\"."
                                     : "The request body must name the model in \"model\".",
                                 "model");
    case PeekProblem::not_a_string:
      return errors::bad_request("\"model\" must be a string.", "model");
    case PeekProblem::repeated:
      return errors::bad_request("\"model\" is there more than once.", "model");
  }
  return errors::bad_request("The request body cannot be read.");
}

ApiError explain(net::ClientFailure::Kind kind) {
  using Kind = net::ClientFailure::Kind;
  const bool is_timeout = kind == Kind::connect_timeout || kind == Kind::first_byte_timeout ||
                          kind == Kind::idle_timeout;
  return is_timeout ? errors::replica_too_slow() : errors::replica_broke();
}

// The length of an answer's body as it is told to the client; none for a body that ends when it
// ends.
std::optional<std::uint64_t> announced_length(const net::ResponseHead& head) {
  switch (head.body.kind) {
    case net::BodyFraming::Kind::length:
      // What an engine announces for a stream of events is not to be trusted.
      return is_event_stream(head) ? std::nullopt : std::optional(head.body.length);
    case net::BodyFraming::Kind::none: {
      // An answer to HEAD tells the length of what GET would bring.
      const std::string_view text = head.headers.find("content-length").value_or("0");
      std::uint64_t length = 0;
      std::from_chars(text.data(), text.data() + text.size(), length);
      return length;
    }
    case net::BodyFraming::Kind::chunked:
    case net::BodyFraming::Kind::until_close:
      break;
  }
  return std::nullopt;
}

bool is_trace_continued(const RequestSpan* span) {
  return span != nullptr && !span->parent_id.empty();
}

}  // namespace

ProxyExchange::ProxyExchange(Gateway& gateway, const net::RequestHead& head,
                             net::Exchange& exchange)
    : gateway_(gateway),
      exchange_(exchange),
      request_(std::make_unique<Request>()),
      counters_(&gateway.routes_.metrics().unknown()),
      started_(exchange.loop().now()),
      request_id_(given_request_id(head)) {
  if (request_id_.empty()) request_id_ = gateway.random_.uuid();
  span_ = begin_span(gateway.options_.trace, head.headers.find("traceparent").value_or(""),
                     gateway.random_, gateway.clock_.now());
  if (span_ != nullptr) span_->method = head.method;
  request_->table = gateway.reader_.table();
  request_->method = head.method;
  request_->framing = head.body;
  start(head);
}

ProxyExchange::~ProxyExchange() = default;

// --- The request ---------------------------------------------------------------------------------

void ProxyExchange::start(const net::RequestHead& head) {
  const Located located = locate(*request_->table, head);
  if (located.gateway == nullptr) {
    return refuse(errors::not_found("There is no such gateway on this server."));
  }
  const ServedGateway& served = *located.gateway;
  request_->gateway = &served;
  counters_ = served.undecided;
  if (!served.may_come_from(exchange_.peer_address())) return refuse(errors::source_not_allowed());
  if (is_health_check(head, located.target)) return answer(R"({"status":"ok"})");
  if (served.auth == AuthKind::weights_and_biases) return ask_whose_key(head, located.target);
  if (const auto error = admit(head)) return refuse(*error);
  proceed(head, located.target);
}

// The caller may use the gateway. `target` is what the head's is below it.
void ProxyExchange::proceed(const net::RequestHead& head, std::string_view target) {
  const ServedGateway& served = *request_->gateway;
  RequestPlan plan = plan_request(served, head, target);
  if (const auto* error = std::get_if<ApiError>(&plan)) return refuse(*error);
  if (const auto* list = std::get_if<ListModels>(&plan)) {
    return answer(list->only == nullptr ? served.model_list : draw_model_list(served, *list->only));
  }
  if (const auto* show = std::get_if<ShowModel>(&plan)) {
    return answer(draw_model(served, *show->model));
  }
  start_forward(head, std::get<Forward>(std::move(plan)));
}

// Why this caller may not use this gateway.
std::optional<ApiError> ProxyExchange::admit(const net::RequestHead& head) {
  const ServedGateway& served = *request_->gateway;
  const auto authorization = head.headers.find("authorization");
  auto principal = authorization
                       ? gateway_.tokens_.authenticate(*authorization, gateway_.clock_.now())
                       : std::nullopt;
  if (!principal) return errors::unauthorized();
  if (principal->organization != served.organization) return errors::other_organization();
  request_->caller = {.organization = std::move(principal->organization),
                      .token_id = std::move(principal->token_id)};
  return std::nullopt;
}

ProxyExchange::KeptHead::KeptHead(const net::RequestHead& head)
    : method(head.method), target(head.target), headers(head.headers), view(head) {
  view.method = method;
  view.target = target;
  view.headers = headers.list();
}

void ProxyExchange::ask_whose_key(const net::RequestHead& head, std::string_view target) {
  WandbKeys* const keys = gateway_.options_.wandb_keys;
  if (keys == nullptr) return refuse(errors::keys_not_verifiable());
  const auto key = auth::bearer_token(head.headers.find("authorization").value_or(""));
  if (!key) return refuse(errors::invalid_wandb_key());
  self_ = std::make_shared<ProxyExchange*>(this);
  auto found = keys->find(
      *key, [&loop = exchange_.loop(), self = std::weak_ptr(self_)](const KeyAnswer& answer) {
        loop.post([self, answer] {
          if (const auto exchange = self.lock()) (*exchange)->take_owner(answer);
        });
      });
  if (const auto* answer = std::get_if<KeyAnswer>(&found)) {
    if (const auto error = admit_owner(*answer)) return refuse(*error);
    return proceed(head, target);
  }
  key_wait_ = std::get<WandbKeys::WaitHandle>(std::move(found));
  kept_head_ = std::make_unique<KeptHead>(head);
  phase_ = Phase::asking;
  exchange_.pause_body();
}

std::optional<ApiError> ProxyExchange::admit_owner(const KeyAnswer& answer) {
  switch (answer.verdict) {
    case KeyAnswer::Verdict::valid:
      // Whoever has a key is a caller of the gateway's organization.
      request_->caller = {.organization = request_->gateway->organization,
                          .token_id = "wandb:" + answer.entity};
      return std::nullopt;
    case KeyAnswer::Verdict::invalid:
      return errors::invalid_wandb_key();
    case KeyAnswer::Verdict::unknown:
      break;
  }
  return errors::wandb_unreachable();
}

void ProxyExchange::take_owner(const KeyAnswer& answer) {
  if (phase_ != Phase::asking) return;
  phase_ = Phase::collecting;
  const std::unique_ptr<KeptHead> head = std::move(kept_head_);
  if (const auto error = admit_owner(answer)) return refuse(*error);
  proceed(head->view, locate(*request_->table, head->view).target);
  if (phase_ != Phase::collecting) return;
  if (is_request_whole_) return on_request_end();
  exchange_.resume_body();
}

void ProxyExchange::start_forward(const net::RequestHead& head, Forward forward) {
  Request& request = *request_;
  const std::string_view key =
      auth::bearer_token(head.headers.find("authorization").value_or("")).value_or("");
  request.target = without_key(std::move(forward.target), key);
  request.model = forward.model;
  request.content_type = head.headers.find("content-type").value_or("");
  std::string traceparent;
  if (span_ != nullptr) {
    span_->operation = operation_name(request.target);
    span_->organization = request.caller.organization;
    traceparent = format_traceparent(span_->context);
  }
  request.headers = headers_for_engine(head, {.key = key,
                                              .request_id = request_id_,
                                              .peer_address = exchange_.peer_address(),
                                              .traceparent = traceparent,
                                              .is_trace_continued = is_trace_continued(span_.get()),
                                              .is_secure = exchange_.is_secure()});

  const std::string& session_header = gateway_.options_.session_header;
  const auto session = session_header.empty() ? std::nullopt : head.headers.find(session_header);
  if (session && !session->empty()) request.session = hash_text(*session, 0);
  request.wants_routing = head.headers.find(routing_header).has_value();

  if (const auto error = meet_limits(head)) return refuse(*error);

  const bool has_body = head.body.kind != net::BodyFraming::Kind::none;
  if (request.model == nullptr && !has_body) {
    return refuse(explain(PeekProblem::missing, request.content_type));
  }
  const bool may_name_model =
      is_json(request.content_type) || is_multipart_form(request.content_type);
  if (has_body && request.model != nullptr && !may_name_model) {
    is_passing_ = true;
    return send_upstream();
  }
  if (head.body.length > gateway_.options_.body_bytes_max) {
    return refuse(errors::too_large(gateway_.options_.body_bytes_max));
  }
  if (has_body) request.body.reserve(head.body.length + JsonPeek::padding_bytes);
}

// Takes what the request needs of its caller's limits, and begins to count what it costs.
std::optional<ApiError> ProxyExchange::meet_limits(const net::RequestHead& head) {
  Request& request = *request_;
  if (request.model != nullptr) {
    if (auto error = check_model()) return error;
  }
  if (gateway_.options_.limits != nullptr) {
    const std::uint64_t tokens =
        head.body.length / UsageWatch::bytes_per_token + LimitBook::answer_tokens_expected;
    auto admission =
        gateway_.options_.limits->admit(request.caller, tokens, exchange_.loop().now());
    if (auto* error = std::get_if<ApiError>(&admission)) return std::move(*error);
    limits_ = std::get<std::unique_ptr<LimitGuard>>(std::move(admission));
  }
  UsageTable* const table = gateway_.usage_ ? &*gateway_.usage_ : nullptr;
  const bool is_counted = table != nullptr || limits_ != nullptr;
  if (!is_counted && span_ == nullptr) return std::nullopt;
  // A span tells what is known anyway.
  const auto asking = is_counted && gateway_.options_.may_ask_for_usage
                          ? UsageWatch::Asking::where_known
                          : UsageWatch::Asking::never;
  usage_ = std::make_unique<UsageWatch>(table, request.caller, request.target, asking);
  return std::nullopt;
}

std::optional<ApiError> ProxyExchange::check_model() const {
  LimitBook* const limits = gateway_.options_.limits;
  const std::string& name = request_->model->name;
  if (limits == nullptr || limits->may_call(request_->caller, name)) return std::nullopt;
  return errors::model_not_allowed(name);
}

void ProxyExchange::on_body(std::string_view bytes) {
  if (phase_ == Phase::over) return;
  if (is_passing_) return pass_body(bytes);  // none comes while the key is asked about
  if (request_->body.size() + bytes.size() > gateway_.options_.body_bytes_max) {
    return refuse(errors::too_large(gateway_.options_.body_bytes_max));
  }
  request_->body += bytes;
}

void ProxyExchange::pass_body(std::string_view bytes) {
  if (usage_ != nullptr) usage_->pass_request(bytes.size());
  if (request_ != nullptr && !request_->is_body_lost) {
    request_->body += bytes;
    request_->is_body_lost = request_->body.size() > passed_bytes_kept_max;
    if (request_->is_body_lost) request_->body = {};
  }
  upstream_->send_body(bytes);
  if (upstream_->is_congested()) exchange_.pause_body();
}

void ProxyExchange::on_request_end() {
  if (phase_ == Phase::over) return;
  is_request_whole_ = true;
  if (phase_ == Phase::asking) return;
  if (is_passing_) return upstream_->finish_body();
  if (request_->framing.kind != net::BodyFraming::Kind::none) {
    AnswerWish wish;
    const auto error = request_->model == nullptr ? find_model(wish) : rewrite_model(wish);
    if (error) return refuse(*error);
    if (usage_ != nullptr) usage_->take_request(request_->body, wish);
    if (limits_ != nullptr) {
      limits_->expect_tokens(usage_->expected_tokens(wish, LimitBook::answer_tokens_expected));
    }
  }
  send_upstream();
}

// The body alone says which model is wanted.
std::optional<ApiError> ProxyExchange::find_model(AnswerWish& wish) {
  Request& request = *request_;
  const Peeked peeked = is_multipart_form(request.content_type)
                            ? find_model_in_multipart(request.body, request.content_type)
                            : gateway_.json_peek_.find_model(request.body, &wish, &request.prompt);
  if (const auto* problem = std::get_if<PeekProblem>(&peeked)) {
    return explain(*problem, request.content_type);
  }
  const std::string& name = std::get<ModelField>(peeked).name;
  request.model = request.gateway->find_model(name);
  if (request.model == nullptr) return errors::model_not_found(name);
  return check_model();
}

// A header or the path said which model is wanted. Engines check the name in the body, so it is
// made the same; a body that names none, or is of another kind, is the engine's to judge.
std::optional<ApiError> ProxyExchange::rewrite_model(AnswerWish& wish) {
  Request& request = *request_;
  const bool is_form = is_multipart_form(request.content_type);
  const Peeked peeked = is_form
                            ? find_model_in_multipart(request.body, request.content_type)
                            : gateway_.json_peek_.find_model(request.body, &wish, &request.prompt);
  if (const auto* problem = std::get_if<PeekProblem>(&peeked)) {
    wish = {};
    if (*problem != PeekProblem::repeated) return std::nullopt;
    return explain(*problem, request.content_type);
  }
  const ModelField& found = std::get<ModelField>(peeked);
  if (found.name == request.model->name) return std::nullopt;
  if (is_form) {
    replace_multipart_model(request.body, found, request.model->name);
  } else {
    const std::size_t bytes_before = request.body.size();
    replace_json_model(request.body, found, request.model->name);
    follow_replacement(wish, found, bytes_before, request.body.size());
  }
  return std::nullopt;
}

// --- The replica ---------------------------------------------------------------------------------

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

// Chooses a deployment and a replica, and sends what there is of the request.
void ProxyExchange::send_upstream() {
  if (const auto error = take_newest_table()) return refuse(*error);
  Request& request = *request_;
  const ReplicaLoad* const failed = request.failed.get();
  const ServedDeployment* deployment = choose_deployment(*request.model, failed);
  if (deployment != nullptr) {
    demand_.assign(*deployment->demand, exchange_.loop());
  } else if (failed == nullptr) {
    demand_.assign(*choose_unready_deployment(*request.model).demand, exchange_.loop());
  }
  const ReplicaChoice choice =
      deployment == nullptr ? ReplicaChoice{} : choose_replica(*deployment);
  const ServedReplica* const replica = choice.replica;
  if (replica == nullptr) {
    return refuse(failed == nullptr ? errors::model_not_ready(request.model->name)
                                    : errors::replica_broke());
  }
  phase_ = Phase::waiting;
  if (usage_ != nullptr) usage_->take_model(request.model->name);
  if (span_ != nullptr) {
    span_->model = request.model->name;
    span_->replica_id = replica->load->id();
  }
  metrics_ = deployment->metrics;
  counters_ = &metrics_->requests;
  in_flight_ = InFlight(replica->load, *metrics_->in_flight,
                        {.unread_bytes = choice.unread_bytes(), .sent_at = exchange_.loop().now()});

  net::ClientRequest outgoing{.method = request.method, .target = request.target};
  request.headers.append_to(outgoing.headers);
  outgoing.body = request.framing;
  if (!is_passing_ && outgoing.body.kind != net::BodyFraming::Kind::none) {
    outgoing.body = {net::BodyFraming::Kind::length, request.body.size()};
  }
  request.body_given_bytes = 0;
  upstream_ = gateway_.client_.start(replica->endpoint, outgoing, gateway_.options_.upstream,
                                     upstream_handler_);
  if (!is_passing_) return feed_collected_body();
  upstream_->send_body(request.body);  // what a first try has taken in
  if (is_request_whole_) return upstream_->finish_body();
  if (!upstream_->is_congested()) exchange_.resume_body();
}

ReplicaChoice ProxyExchange::choose_replica(const ServedDeployment& deployment) {
  Request& request = *request_;
  const ReplicaQuery query{
      .prompt = gateway_.options_.has_prefix_affinity ? &request.prompt : nullptr,
      .session = request.session == 0 ? 0 : hash_text(deployment.id, request.session),
      .excluded = request.failed.get()};
  const ReplicaChoice choice =
      gateway_.chooser_.choose(deployment, query, exchange_.loop().now(), gateway_.random_);
  if (choice.replica == nullptr) return choice;
  deployment.metrics->choices[static_cast<std::size_t>(choice.reason)]->add();
  if (choice.is_without_hints) deployment.metrics->choices_without_hints->add();
  if (request.wants_routing) request.routing = describe(choice, exchange_.loop().now());
  return choice;
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
    request.body = {};
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
    if (choose_deployment(*request_->model, request_->failed.get()) == nullptr) return false;
  }
  request_->was_retried = true;
  metrics_->retries->add();
  in_flight_.release();
  send_upstream();
  return true;
}

// --- The answer ----------------------------------------------------------------------------------

void ProxyExchange::take_answer_head(const net::ResponseHead& head) {
  phase_ = Phase::streaming;
  status_ = head.status;
  in_flight_.load()->trust();
  // An encoded stream is bytes to us: an event of ours would not fit in.
  is_event_stream_ = is_event_stream(head) && !head.headers.find("content-encoding");
  if (usage_ != nullptr) usage_->take_answer(head);

  net::AnswerHead answer{.status = head.status, .content_length = announced_length(head)};
  add_headers_for_client(head, is_event_stream(head) ? AnswerKind::event_stream : AnswerKind::plain,
                         answer.headers);
  answer.headers.add("X-Request-Id", request_id_);
  if (gateway_.options_.is_deployment_shown) {
    answer.headers.add("x-inference-deployment", counters_->deployment_id());
  }
  if (!request_->routing.empty()) answer.headers.add(routing_header, request_->routing);
  exchange_.send_head(answer);

  // Nothing is sent again from here on. A replica that answers before it has read everything still
  // gets the rest.
  const bool is_given = is_passing_ || request_->body_given_bytes >= request_->body.size();
  if (is_given) request_.reset();
}

void ProxyExchange::take_answer_body(std::string_view bytes) {
  if (!has_first_byte_) {
    has_first_byte_ = true;
    if (is_event_stream_) in_flight_.answer_begun(exchange_.loop().now());
    metrics_->first_byte->observe(
        std::chrono::duration<double>(exchange_.loop().now() - started_).count());
    if (span_ != nullptr) span_->first_byte_at = gateway_.clock_.now();
  }
  pass_answer_body(usage_ == nullptr ? bytes : usage_->take_answer_body(bytes));
  // A client that stops reading stops the reading from the replica.
  if (exchange_.is_congested()) upstream_->pause();
}

void ProxyExchange::pass_answer_body(std::string_view bytes) {
  if (is_event_stream_) sse_tail_.feed(bytes);
  if (!bytes.empty()) exchange_.send_body(bytes);
}

void ProxyExchange::on_writable() {
  if (upstream_ != nullptr) upstream_->resume();
}

void ProxyExchange::take_answer_end() {
  upstream_.reset();
  if (usage_ != nullptr) pass_answer_body(usage_->finish_answer());
  end(status_);
  exchange_.finish();
}

void ProxyExchange::take_failure(const net::ClientFailure& failure) {
  metrics_->failures[static_cast<std::size_t>(failure.kind)]->add();
  gateway_.log_.warning("upstream_failure", {{"kind", failure_name(failure.kind)},
                                             {"detail", failure.message},
                                             {"request", request_id_},
                                             {"gateway", counters_->gateway_id()},
                                             {"deployment", counters_->deployment_id()},
                                             {"replica", in_flight_.load()->id()}});
  upstream_.reset();
  if (phase_ == Phase::streaming) return break_stream(failure.kind);
  if (!try_elsewhere(failure)) refuse(explain(failure.kind));
}

// The answer cannot be completed. A client that reads events is told so by one; of any other body
// it learns by an end that it can tell from a proper one.
void ProxyExchange::break_stream(net::ClientFailure::Kind kind) {
  if (is_event_stream_ && sse_tail_.is_done()) {
    end(status_);  // the replica had said all, and left without a goodbye
    return exchange_.finish();
  }
  end(502);
  if (!is_event_stream_) return exchange_.abort();
  exchange_.send_body(sse_tail_.missing_end());
  exchange_.send_body("data: " + draw(explain(kind)) + "\n\n");
  exchange_.finish();
}

// --- Answers of our own, and the end -------------------------------------------------------------

void ProxyExchange::answer(std::string_view json) {
  net::AnswerHead head{.status = 200};
  send_json(head, json);
}

void ProxyExchange::refuse(const ApiError& error) {
  net::AnswerHead head{.status = error.status};
  const std::string retry_after = std::to_string(error.retry_after_s);
  if (error.retry_after_s > 0) head.headers.add("Retry-After", retry_after);
  if (error.status == 401) head.headers.add("WWW-Authenticate", "Bearer");
  if (!error.allow.empty()) head.headers.add("Allow", error.allow);
  send_json(head, draw(error));
}

void ProxyExchange::send_json(net::AnswerHead& head, std::string_view json) {
  head.content_length = json.size();
  head.headers.add("Content-Type", "application/json");
  head.headers.add("X-Request-Id", request_id_);
  exchange_.send_head(head);
  exchange_.send_body(json);
  end(head.status);
  exchange_.finish();
}

void ProxyExchange::on_cancelled() {
  key_wait_ = {};
  self_.reset();
  upstream_.reset();
  in_flight_.release();
  demand_.release();
  if (phase_ != Phase::over) {
    counters_->count_client_gone();
    record(status_client_gone, UsageWatch::End::aborted);
  }
  phase_ = Phase::over;
}

void ProxyExchange::end(std::uint16_t status) {
  phase_ = Phase::over;
  in_flight_.release();
  demand_.release();
  counters_->count(status);
  record(status, status < 400 ? UsageWatch::End::complete : UsageWatch::End::failed);
}

// What is kept of every request, however it ended.
void ProxyExchange::record(std::uint16_t status, UsageWatch::End how) {
  book_usage(how);
  end_span(status);
  if (!gateway_.options_.is_access_logged) return;
  const auto took =
      std::chrono::duration_cast<std::chrono::milliseconds>(exchange_.loop().now() - started_);
  gateway_.log_.info("request", {{"request", request_id_},
                                 {"gateway", counters_->gateway_id()},
                                 {"deployment", counters_->deployment_id()},
                                 {"status", status},
                                 {"ms", took.count()}});
}

// Only what was sent to an engine is somebody's use of it. The slot is free from here on, and the
// tokens taken are those that were used.
void ProxyExchange::book_usage(UsageWatch::End how) {
  if (usage_ != nullptr && metrics_ != nullptr) {
    const UsageTotals used = usage_->end(how, counters_->deployment_id(), gateway_.clock_.now());
    if (limits_ != nullptr) limits_->settle_tokens(used.prompt_tokens + used.completion_tokens);
    if (span_ != nullptr && used.estimated == 0) {
      span_->tokens = {.input = used.prompt_tokens,
                       .cached = used.cached_tokens,
                       .output = used.completion_tokens};
    }
  }
  limits_.reset();
}

void ProxyExchange::end_span(std::uint16_t status) {
  if (span_ == nullptr) return;
  span_->ended_at = gateway_.clock_.now();
  span_->status = status;
  span_->request_id = request_id_;
  span_->gateway_id = counters_->gateway_id();
  span_->deployment_id = counters_->deployment_id();
  gateway_.options_.trace.sink->add(std::move(span_));
}

}  // namespace staithe::gateway
