#include "wire/call_exchange.h"

#include <algorithm>
#include <utility>

namespace staithe::wire {
namespace {

// A client's own request id is kept if it is short and printable.
bool is_request_id(std::string_view text) {
  return !text.empty() && text.size() <= 128 &&
         std::all_of(text.begin(), text.end(), [](char c) { return c > 0x20 && c < 0x7f; });
}

std::string request_id_of(const RawRequest& request, Random& random) {
  const auto given = request.header("x-request-id");
  return given && is_request_id(*given) ? std::string(*given) : random.uuid();
}

}  // namespace

CallExchange::CallExchange(Parts parts)
    : context_(parts.context),
      exchange_(parts.exchange),
      dialect_(parts.dialect),
      method_(parts.chosen.method),
      request_(std::move(parts.request)),
      refusal_(std::move(parts.chosen.refusal)),
      request_id_(request_id_of(request_, context_.random)),
      started_(context_.clock.instant()) {}

CallExchange::~CallExchange() {
  exchange_.loop().cancel(deadline_timer_);
}

Result<auth::Principal> CallExchange::authenticate() const {
  if (method_ != nullptr && method_->is_public) return auth::Principal{};
  const auto authorization = request_.header("authorization").value_or(std::string_view{});
  auto principal = context_.tokens.authenticate(authorization, context_.clock.now());
  if (principal) return *std::move(principal);
  return Error{.code = Code::unauthenticated,
               .message = "missing or invalid API access token",
               .reason = "UNAUTHENTICATED"};
}

Result<auth::Principal> CallExchange::authorize() const {
  TRY_ASSIGN(auth::Principal principal, authenticate());
  if (method_->is_public || principal.may(method_->role)) return principal;
  return Error{.code = Code::permission_denied,
               .message = "the Inference Admin role is required",
               .reason = "ROLE_REQUIRED"};
}

Result<Call> CallExchange::begin(auth::Principal principal) {
  Call call;
  call.principal = std::move(principal);
  call.spelling = dialect_.spelling();
  call.request_id = request_id_;
  call.peer_address = exchange_.peer_address();
  if (method_->wants_metadata) {
    for (const net::HeaderView& field : request_.headers.list()) {
      call.metadata.emplace_back(field.name, field.value);
    }
    call.query = request_.query;
  }
  TRY_ASSIGN(call.timeout, dialect_.timeout(request_));
  if (call.timeout) {
    call.deadline = started_ + *call.timeout;
    const Duration left = std::max(call.deadline - context_.clock.instant(), Duration::zero());
    deadline_timer_ = exchange_.loop().run_after(left, [this] {
      deadline_timer_ = 0;
      on_deadline();
    });
  }
  return call;
}

void CallExchange::send(RawAnswer answer, Code code) {
  if (is_over_) return;
  net::AnswerHead head = make_head(answer);
  if (answer.has_body && answer.trailers.empty()) head.content_length = answer.body.size();
  exchange_.send_head(head);
  exchange_.send_body(answer.body);
  finish(answer, code);
}

void CallExchange::send_head(RawAnswer answer) {
  exchange_.send_head(make_head(answer));
}

net::AnswerHead CallExchange::make_head(RawAnswer& answer) const {
  context_.options.cors.allow(request_, answer.headers);
  net::AnswerHead head{.status = answer.status, .has_body = answer.has_body};
  head.headers.reserve(answer.headers.size() + 2);
  for (const auto& [name, value] : answer.headers) head.headers.add(name, std::string_view(value));
  head.headers.add("Cache-Control", "no-store");
  head.headers.add("X-Request-Id", std::string_view(request_id_));
  return head;
}

void CallExchange::finish(const RawAnswer& answer, Code code) {
  is_over_ = true;
  context_.metrics.count(method_, dialect_, code, context_.clock.instant() - started_);
  net::HeaderList trailers;
  for (const auto& [name, value] : answer.trailers) trailers.add(name, std::string_view(value));
  exchange_.finish_with(trailers);
}

void CallExchange::on_cancelled() {
  if (std::exchange(is_over_, true)) return;
  context_.metrics.count(method_, dialect_, Code::cancelled, context_.clock.instant() - started_);
}

}  // namespace staithe::wire
