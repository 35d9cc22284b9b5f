#include "wire/api_handler.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "base/encoding.h"
#include "openapi/document.h"

namespace staithe::wire {
namespace {

std::optional<std::string> header(const net::RequestHead& head, std::string_view name) {
  const auto value = head.headers.find(name);
  if (!value) return std::nullopt;
  return std::string(*value);
}

// A client's own request id is kept if it is short and printable.
bool is_request_id(std::string_view text) {
  return !text.empty() && text.size() <= 128 &&
         std::all_of(text.begin(), text.end(), [](char c) { return c > 0x20 && c < 0x7f; });
}

Error body_too_large(std::size_t bytes_max) {
  return {.code = Code::resource_exhausted,
          .message = fmt::format("the body is larger than {} bytes", bytes_max),
          .reason = "BODY_TOO_LARGE"};
}

}  // namespace

// One call from head to answer. The method may reply from any thread, and after the client has
// gone: what it holds is a slot that this handler empties when it goes.
class ApiExchange final : public net::ExchangeHandler {
 public:
  ApiExchange(ApiRouter& router, const net::RequestHead& head, net::Exchange& exchange)
      : router_(router), exchange_(exchange), slot_(std::make_shared<Slot>(Slot{this})) {
    request_.method = head.method;
    request_.path = head.path();
    request_.query = head.query();
    request_.content_type = header(head, "content-type");
    request_.content_encoding = header(head, "content-encoding");
    request_.connect_protocol_version = header(head, "connect-protocol-version");
    authorization_ = header(head, "authorization").value_or("");
    timeout_ = header(head, "connect-timeout-ms");
    const auto given_id = header(head, "x-request-id");
    request_id_ = given_id && is_request_id(*given_id) ? *given_id : router.random_.uuid();
    dialect_ = &router.dialect_for(request_.path);
    is_body_read_ =
        request_.method != "GET" && request_.method != "HEAD" && request_.method != "DELETE";
    if (is_body_read_ && head.body.kind == net::BodyFraming::Kind::length &&
        head.body.length > router.options_.body_bytes_max) {
      is_too_large_ = true;
    }
    started_ = router.clock_.instant();
  }

  ~ApiExchange() override {
    slot_->handler = nullptr;
    exchange_.loop().cancel(deadline_timer_);
  }

  void on_body(std::string_view bytes) override {
    if (!is_body_read_ || is_answered_) return;
    if (is_too_large_ || request_.body.size() + bytes.size() > router_.options_.body_bytes_max) {
      is_too_large_ = true;
      return refuse_if_unauthenticated_else(body_too_large(router_.options_.body_bytes_max));
    }
    request_.body += bytes;
  }

  void on_request_end() override {
    if (is_answered_) return;
    if (is_too_large_) {
      return refuse_if_unauthenticated_else(body_too_large(router_.options_.body_bytes_max));
    }
    run();
  }

  void on_cancelled() override { is_answered_ = true; }

 private:
  struct Slot {
    ApiExchange* handler;  // of the loop's thread
  };

  Result<auth::Principal> authenticate() const {
    auto principal = router_.tokens_.authenticate(authorization_, router_.clock_.now());
    if (principal) return *std::move(principal);
    return Error{.code = Code::unauthenticated,
                 .message = "missing or invalid API access token",
                 .reason = "UNAUTHENTICATED"};
  }

  void refuse_if_unauthenticated_else(const Error& error) {
    const auto principal = authenticate();
    send(dialect_->write_error(principal ? error : principal.error()),
         principal ? error.code : Code::unauthenticated);
  }

  void run() {
    if (request_.path == "/openapi.yaml" || request_.path == "/openapi.json")
      return send_document();
    // Who calls comes first: a stranger learns nothing about what is served.
    auto principal = authenticate();
    if (!principal) return send(dialect_->write_error(principal.error()), Code::unauthenticated);
    Dialect::Chosen chosen = dialect_->choose(request_);
    if (chosen.method == nullptr) return send(std::move(chosen.refusal), Code::unimplemented);
    method_ = chosen.method;
    if (!principal->may(method_->role)) {
      return fail({.code = Code::permission_denied,
                   .message = "the Inference Admin role is required",
                   .reason = "ROLE_REQUIRED"});
    }
    auto timeout = read_timeout();
    if (!timeout) return fail(timeout.error());
    auto message = dialect_->read(*method_, request_);
    if (!message) return fail(message.error());
    call(*std::move(principal), *std::move(message), *timeout);
  }

  // Connect-Timeout-Ms: up to ten digits. Zero: none was given.
  Result<std::chrono::milliseconds> read_timeout() const {
    if (!timeout_) return std::chrono::milliseconds{0};
    std::uint64_t ms = 0;
    const char* const end = timeout_->data() + timeout_->size();
    const auto outcome = std::from_chars(timeout_->data(), end, ms);
    if (timeout_->empty() || timeout_->size() > 10 || outcome.ec != std::errc{} ||
        outcome.ptr != end) {
      return Error{.code = Code::invalid_argument,
                   .message = "Connect-Timeout-Ms must be a number of at most 10 digits",
                   .reason = "INVALID_TIMEOUT"};
    }
    return std::chrono::milliseconds{std::max<std::uint64_t>(ms, 1)};
  }

  void call(auth::Principal principal, MessagePtr message, std::chrono::milliseconds timeout) {
    Call context;
    context.principal = std::move(principal);
    context.spelling = dialect_->spelling();
    context.request_id = request_id_;
    context.peer_address = exchange_.peer_address();
    if (timeout.count() > 0) {
      context.deadline = router_.clock_.instant() + timeout;
      deadline_timer_ = exchange_.loop().run_after(timeout, [this] {
        deadline_timer_ = 0;
        fail({.code = Code::deadline_exceeded,
              .message = "the call's deadline passed",
              .reason = "DEADLINE_EXCEEDED"});
      });
    }
    net::EventLoop& loop = exchange_.loop();
    method_->handle(std::move(context), std::move(message),
                    [slot = slot_, &loop](Result<MessagePtr> result) {
                      const auto shared = std::make_shared<Result<MessagePtr>>(std::move(result));
                      loop.post([slot, shared] {
                        if (slot->handler != nullptr) slot->handler->reply(*shared);
                      });
                    });
  }

  void reply(const Result<MessagePtr>& result) {
    if (is_answered_) return;
    if (!result) return fail(result.error());
    send(dialect_->write(**result, request_), Code::ok);
  }

  void fail(const Error& error) {
    if (is_answered_) return;
    RawAnswer answer = dialect_->write_error(error);
    if (error.code == Code::unavailable || error.retry_after_s > 0) {
      answer.headers.emplace_back("Retry-After", std::to_string(std::max(error.retry_after_s, 1u)));
    }
    send(std::move(answer), error.code);
  }

  void send_document() {
    const bool is_read = request_.method == "GET" || request_.method == "HEAD";
    if (!is_read) {
      RawAnswer answer = dialect_->write_error({.code = Code::unimplemented,
                                                .message = "the document can only be read; use GET",
                                                .reason = "WRONG_METHOD"});
      answer.status = 405;
      answer.headers.emplace_back("Allow", "GET, HEAD");
      return send(std::move(answer), Code::unimplemented);
    }
    const bool is_yaml = request_.path == "/openapi.yaml";
    send({.status = 200,
          .headers = {{"Content-Type", is_yaml ? "application/yaml" : "application/json"}},
          .body = std::string(is_yaml ? api::openapi_yaml() : api::openapi_json())},
         Code::ok);
  }

  void send(RawAnswer answer, Code code) {
    is_answered_ = true;
    net::AnswerHead head;
    head.status = answer.status;
    for (const auto& [name, value] : answer.headers) head.headers.add(name, value);
    head.headers.add("Cache-Control", "no-store");
    head.headers.add("X-Request-Id", request_id_);
    head.content_length = answer.body.size();
    count(code);
    exchange_.send_head(head);
    exchange_.send_body(answer.body);
    exchange_.finish();
  }

  void count(Code code) const {
    const std::string method = method_ == nullptr ? std::string("none") : method_->name;
    router_.metrics_
        .counter("staithe_api_requests_total", "API calls by method, dialect and outcome.",
                 {{"method", method},
                  {"dialect", std::string(dialect_->name())},
                  {"code", std::string(code_name(code))}})
        .add();
    router_.metrics_
        .histogram("staithe_api_request_seconds", "Time from an API call's head to its answer.",
                   {{"method", method}})
        .observe(std::chrono::duration<double>(router_.clock_.instant() - started_).count());
  }

  ApiRouter& router_;
  net::Exchange& exchange_;
  std::shared_ptr<Slot> slot_;
  const Dialect* dialect_ = nullptr;
  const Method* method_ = nullptr;
  RawRequest request_;
  std::string authorization_;
  std::optional<std::string> timeout_;
  std::string request_id_;
  Instant started_;
  net::TimerId deadline_timer_ = 0;
  bool is_body_read_ = false;
  bool is_too_large_ = false;
  bool is_answered_ = false;
};

ApiRouter::ApiRouter(const MethodTable& table, const auth::TokenTable& tokens, const Clock& clock,
                     Random& random, ApiOptions options, Metrics& metrics)
    : rest_(table, options.rest_error_code, options.body_bytes_max),
      connect_(table, options.body_bytes_max),
      tokens_(tokens),
      clock_(clock),
      random_(random),
      options_(options),
      metrics_(metrics) {}

const Dialect& ApiRouter::dialect_for(std::string_view path) const {
  if (connect_.claims(path)) return connect_;
  return rest_;
}

std::unique_ptr<net::ExchangeHandler> ApiRouter::on_request(const net::RequestHead& head,
                                                            net::Exchange& exchange) {
  return std::make_unique<ApiExchange>(*this, head, exchange);
}

}  // namespace staithe::wire
