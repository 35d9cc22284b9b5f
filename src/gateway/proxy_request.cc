#include "gateway/proxy_exchange.h"

#include <algorithm>
#include <string>
#include <utility>

#include "auth/token.h"
#include "base/free_memory.h"

// The request on its way in: its head, its limits, its body and the model that names.

namespace staithe::gateway {
namespace {

// What has gone through is kept for a retry up to this size. Connecting is what may be retried, and
// until that is done no more than the high-water mark goes through.
constexpr std::size_t passed_bytes_kept_max = 256 * 1024;
// Room that is made for a body before it is there.
constexpr std::uint64_t body_bytes_reserved_max = 1024 * 1024;

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

bool is_trace_continued(const RequestSpan* span) {
  return span != nullptr && !span->parent_id.empty();
}

}  // namespace

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
  if (request_->body.empty() && request_->framing.kind == net::BodyFraming::Kind::length) {
    request_->body.reserve(std::min(request_->framing.length, body_bytes_reserved_max));
  }
  request_->body += bytes;
}

void ProxyExchange::pass_body(std::string_view bytes) {
  if (usage_ != nullptr) usage_->pass_request(bytes.size());
  if (request_ != nullptr && !request_->is_body_lost) {
    request_->body += bytes;
    request_->is_body_lost = request_->body.size() > passed_bytes_kept_max;
    if (request_->is_body_lost) free_memory(request_->body);
  }
  upstream_->send_body(bytes);
  if (upstream_->is_congested()) exchange_.pause_body();
}

void ProxyExchange::on_request_end() {
  if (phase_ == Phase::over) return;
  is_request_whole_ = true;
  if (phase_ == Phase::auth) return;
  if (is_passing_ && phase_ == Phase::queued) return;
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

}  // namespace staithe::gateway
