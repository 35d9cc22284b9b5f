#include <algorithm>
#include <utility>

#include "openapi/document.h"
#include "wire/call_exchange.h"
#include "wire/compression.h"

namespace staithe::wire {
namespace {

// RFC 9727: where a machine finds the descriptions of the API.
constexpr std::string_view catalog_path = "/.well-known/api-catalog";
constexpr std::string_view catalog =
    R"({"linkset":[{"anchor":"/v1alpha1/inference","service-desc":[)"
    R"({"href":"/openapi.json","type":"application/json"},)"
    R"({"href":"/openapi.yaml","type":"application/yaml"}]},)"
    R"({"anchor":"/staithe/v1","service-desc":[)"
    R"({"href":"/staithe/openapi.json","type":"application/json"},)"
    R"({"href":"/staithe/openapi.yaml","type":"application/yaml"}]}]})";

constexpr std::size_t unkept_bytes_max = 16 * 1024;

struct Document {
  std::string_view media_type;
  std::string_view text;
};

std::optional<Document> find_document(std::string_view path) {
  if (path == "/openapi.yaml") return Document{"application/yaml", api::openapi_yaml()};
  if (path == "/openapi.json") return Document{"application/json", api::openapi_json()};
  if (path == "/staithe/openapi.yaml") {
    return Document{"application/yaml", api::staithe_openapi_yaml()};
  }
  if (path == "/staithe/openapi.json") {
    return Document{"application/json", api::staithe_openapi_json()};
  }
  if (path == catalog_path) return Document{"application/linkset+json", catalog};
  return std::nullopt;
}

// One call from head to answer. The method may reply from any thread, and after the client has
// gone: what it holds is a slot that this handler empties when it goes.
class UnaryExchange final : public CallExchange {
 public:
  UnaryExchange(Parts parts, const net::BodyFraming& body)
      : CallExchange(std::move(parts)),
        slot_(std::make_shared<Slot>(Slot{this})),
        body_bytes_max_(dialect_.body_bytes_max(request_)) {
    is_body_read_ = request_.method != "GET" && request_.method != "HEAD" &&
                    request_.method != "DELETE" && !find_document(request_.path);
    if (is_body_read_ && body.kind == net::BodyFraming::Kind::length) {
      declared_bytes_ = body.length;
    }
    is_too_large_ = declared_bytes_ > body_bytes_max_;
    context_.open_calls.fetch_add(1, std::memory_order_acq_rel);
  }
  ~UnaryExchange() override {
    context_.open_calls.fetch_sub(1, std::memory_order_acq_rel);
    slot_->handler = nullptr;
  }

  void on_body(std::string_view bytes) override {
    if (!is_body_read_ || is_over_) return;
    // Whose it is, is asked before its first byte is taken: a stranger's body is not kept, and a
    // long one not waited for.
    if (body_bytes_ == 0) is_body_kept_ = authenticate().has_value();
    body_bytes_ += bytes.size();
    is_too_large_ = is_too_large_ || body_bytes_ > body_bytes_max_;
    const std::uint64_t expected_bytes = std::max<std::uint64_t>(body_bytes_, declared_bytes_);
    if (is_too_large_ || (!is_body_kept_ && expected_bytes > unkept_bytes_max)) {
      return refuse_body();
    }
    if (is_body_kept_) request_.body += bytes;
  }

  void on_request_end() override {
    if (is_over_) return;
    if (is_too_large_) return refuse_body();
    if (auto preflight = context_.options.cors.answer_preflight(request_)) {
      return send(*std::move(preflight), Code::ok);
    }
    if (const auto document = find_document(request_.path)) return send_document(*document);
    method_ == nullptr ? refuse() : run();
  }

 private:
  struct Slot {
    UnaryExchange* handler;  // of the loop's thread
  };

  // Who calls comes first: a stranger learns nothing about what is served.
  void refuse_body() {
    const auto principal = authenticate();
    fail(principal ? body_too_large(body_bytes_max_) : principal.error());
  }

  void refuse() {
    const auto principal = authenticate();
    if (!principal) return fail(principal.error());
    if (request_.method == "OPTIONS" && refusal_.status == 405) return send_options();
    send(std::move(refusal_), Code::unimplemented);
  }

  // A refused verb knows the verbs that are not (RFC 9110 section 9.3.7).
  void send_options() {
    RawAnswer answer{.status = 204};
    for (auto& [name, value] : refusal_.headers) {
      if (name == "Allow") answer.headers.emplace_back(name, std::move(value));
    }
    send(std::move(answer), Code::ok);
  }

  void run() {
    auto principal = authorize();
    if (!principal) return fail(principal.error());
    auto call = begin(*std::move(principal));
    if (!call) return fail(call.error());
    auto message = dialect_.read(*method_, request_);
    if (!message) return fail(message.error());
    net::EventLoop& loop = exchange_.loop();
    method_->handle(*std::move(call), *std::move(message), [slot = slot_, &loop](Outcome outcome) {
      if (loop.is_loop_thread()) {
        if (slot->handler != nullptr) slot->handler->reply(outcome);
        return;
      }
      const auto shared = std::make_shared<Outcome>(std::move(outcome));
      loop.post([slot, shared] {
        if (slot->handler != nullptr) slot->handler->reply(*shared);
      });
    });
  }

  void reply(const Outcome& outcome) {
    if (is_over_) return;
    const Code code = outcome.message ? Code::ok : outcome.message.error().code;
    RawAnswer answer = dialect_.write(outcome, request_);
    if (code != Code::ok) add_retry_after(outcome.message.error(), answer);
    send(std::move(answer), code);
  }

  void fail(const Error& error) { reply(Outcome(error)); }

  static void add_retry_after(const Error& error, RawAnswer& answer) {
    if (error.code != Code::unavailable && error.retry_after_s == 0) return;
    answer.headers.emplace_back("Retry-After", std::to_string(std::max(error.retry_after_s, 1u)));
  }

  void on_deadline() override {
    fail({.code = Code::deadline_exceeded,
          .message = "the call's deadline passed",
          .reason = "DEADLINE_EXCEEDED"});
  }

  void send_document(const Document& document) {
    if (request_.method != "GET" && request_.method != "HEAD") {
      refusal_ = refuse_verb("GET, HEAD, OPTIONS");
      return request_.method == "OPTIONS" ? send_options()
                                          : send(std::move(refusal_), Code::unimplemented);
    }
    RawAnswer answer;
    answer.headers.emplace_back("Content-Type", document.media_type);
    answer.body = document.text;
    compress_body(answer, request_);
    send(std::move(answer), Code::ok);
  }

  const std::shared_ptr<Slot> slot_;
  const std::size_t body_bytes_max_;
  std::uint64_t declared_bytes_ = 0;
  std::size_t body_bytes_ = 0;  // received
  bool is_body_read_ = false;
  bool is_body_kept_ = false;
  bool is_too_large_ = false;
};

}  // namespace

std::unique_ptr<net::ExchangeHandler> make_unary_exchange(CallExchange::Parts parts,
                                                          const net::BodyFraming& body) {
  return std::make_unique<UnaryExchange>(std::move(parts), body);
}

}  // namespace staithe::wire
