#include "conformance/conformance_service.h"

#include <chrono>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "connectrpc/conformance/v1/service.pb.h"
#include "wire/form_query.h"

namespace staithe::tests {
namespace {

namespace pb = ::connectrpc::conformance::v1;
using wire::Call;
using wire::MessagePtr;
using wire::Metadata;
using wire::Outcome;
using HeaderFields = google::protobuf::RepeatedPtrField<pb::Header>;
using Payload = pb::ConformancePayload;
using Requests = std::vector<MessagePtr>;

Metadata read_fields(const HeaderFields& fields) {
  Metadata read;
  for (const pb::Header& field : fields) {
    for (const std::string& value : field.value()) read.emplace_back(field.name(), value);
  }
  return read;
}

void write_fields(const Metadata& fields, HeaderFields& written) {
  std::map<std::string, pb::Header*> by_name;
  for (const auto& [name, value] : fields) {
    pb::Header*& field = by_name[name];
    if (field == nullptr) {
      field = written.Add();
      field->set_name(name);
    }
    field->add_value(value);
  }
}

Error read_error(const pb::Error& error) {
  Error read{.code = static_cast<Code>(error.code()), .message = error.message()};
  for (const google::protobuf::Any& detail : error.details()) {
    const std::string& url = detail.type_url();
    read.details.push_back({url.substr(url.rfind('/') + 1), detail.value()});
  }
  return read;
}

void add_requests(const Requests& requests, Payload::RequestInfo& info) {
  for (const MessagePtr& request : requests) info.add_requests()->PackFrom(*request);
}

Payload::RequestInfo describe(const Call& call, const Requests& requests) {
  Payload::RequestInfo info;
  write_fields(call.metadata, *info.mutable_request_headers());
  if (call.timeout) {
    info.set_timeout_ms(
        std::chrono::duration_cast<std::chrono::milliseconds>(*call.timeout).count());
  }
  add_requests(requests, info);
  if (const auto query = wire::read_form_query(call.query); query && !query->empty()) {
    write_fields(*query, *info.mutable_connect_get_info()->mutable_query_params());
  }
  return info;
}

// An error that no message could tell the request with tells it itself.
Error with_request(Error error, const Payload::RequestInfo& info) {
  error.details.push_back({info.GetTypeName(), info.SerializeAsString()});
  return error;
}

template <typename Response>
Outcome answer_once(const Call& call, const Requests& requests,
                    const pb::UnaryResponseDefinition& definition) {
  const Payload::RequestInfo info = describe(call, requests);
  const auto make = [&]() -> Outcome {
    if (definition.has_error()) return with_request(read_error(definition.error()), info);
    auto response = std::make_unique<Response>();
    *response->mutable_payload()->mutable_request_info() = info;
    response->mutable_payload()->set_data(definition.response_data());
    return MessagePtr(std::move(response));
  };
  Outcome outcome = make();
  outcome.headers = read_fields(definition.response_headers());
  outcome.trailers = read_fields(definition.response_trailers());
  return outcome;
}

template <typename Request, typename Response>
auto unary_handler(net::EventLoop& loop) {
  return [&loop](Call call, MessagePtr request, wire::Reply reply) {
    const auto definition = static_cast<const Request&>(*request).response_definition();
    Requests requests;
    requests.push_back(std::move(request));
    const auto outcome =
        std::make_shared<Outcome>(answer_once<Response>(call, requests, definition));
    loop.run_after(std::chrono::milliseconds{definition.response_delay_ms()},
                   [outcome, reply = std::move(reply)] { reply(std::move(*outcome)); });
  };
}

// A stream whose answers are scripted by its first message. What it has promised to a timer, it
// takes back when it goes.
class ScriptedStream : public wire::CallStream {
 public:
  ScriptedStream(net::EventLoop& loop, Call call, std::shared_ptr<wire::AnswerStream> answers)
      : loop_(loop), call_(std::move(call)), answers_(std::move(answers)) {}
  ~ScriptedStream() override { loop_.cancel(timer_); }

 protected:
  template <typename Then>
  void after(std::uint32_t delay_ms, Then then) {
    timer_ = loop_.run_after(std::chrono::milliseconds{delay_ms}, [this, then = std::move(then)] {
      timer_ = 0;
      then();
    });
  }
  bool is_waiting() const { return timer_ != 0; }

  net::EventLoop& loop_;
  const Call call_;
  const std::shared_ptr<wire::AnswerStream> answers_;
  Requests requests_;

 private:
  net::TimerId timer_ = 0;
};

class ClientStream final : public ScriptedStream {
 public:
  using ScriptedStream::ScriptedStream;

  void on_message(MessagePtr message) override {
    if (requests_.empty()) {
      definition_ = static_cast<const pb::ClientStreamRequest&>(*message).response_definition();
    }
    requests_.push_back(std::move(message));
  }
  void on_end() override {
    after(definition_.response_delay_ms(), [this] {
      auto outcome = answer_once<pb::ClientStreamResponse>(call_, requests_, definition_);
      answers_->send_headers(std::move(outcome.headers));
      if (!outcome.message) {
        return answers_->end(std::move(outcome.message).error(), std::move(outcome.trailers));
      }
      answers_->send(*std::move(outcome.message));
      answers_->end({}, std::move(outcome.trailers));
    });
  }

 private:
  pb::UnaryResponseDefinition definition_;
};

// Server streams and streams both ways.
template <typename Request, typename Response>
class AnsweringStream final : public ScriptedStream {
 public:
  using ScriptedStream::ScriptedStream;

  void on_message(MessagePtr message) override {
    const auto& request = static_cast<const Request&>(*message);
    if (!has_begun_) {
      has_begun_ = true;
      definition_ = request.response_definition();
      if constexpr (requires { request.full_duplex(); }) is_full_duplex_ = request.full_duplex();
      if (is_full_duplex_) begin_answering();
    }
    requests_.push_back(std::move(message));
    if (is_full_duplex_) ++answers_due_;
    go_on();
  }
  void on_end() override {
    has_ended_ = true;
    begin_answering();
    go_on();
  }

 private:
  void begin_answering() {
    if (std::exchange(is_answering_, true) || definition_.response_data().empty()) return;
    answers_->send_headers(read_fields(definition_.response_headers()));
    has_sent_headers_ = true;
  }

  void go_on() {
    if (is_waiting() || is_over_ || !is_answering_) return;
    const bool is_all_sent = sent_ == definition_.response_data_size();
    if (is_all_sent && (has_ended_ || is_full_duplex_)) return finish();
    if (is_all_sent || (!has_ended_ && answers_due_ == 0)) return;
    if (answers_due_ > 0) --answers_due_;
    after(definition_.response_delay_ms(), [this] {
      send_next();
      go_on();
    });
  }

  void send_next() {
    auto response = std::make_unique<Response>();
    Payload& payload = *response->mutable_payload();
    payload.set_data(definition_.response_data(sent_));
    if (sent_ == 0) {
      *payload.mutable_request_info() = describe(call_, requests_);
    } else if (is_full_duplex_) {
      add_requests(requests_, *payload.mutable_request_info());
    }
    requests_.clear();
    ++sent_;
    answers_->send(std::move(response));
  }

  void finish() {
    is_over_ = true;
    if (!has_sent_headers_) answers_->send_headers(read_fields(definition_.response_headers()));
    Metadata trailers = read_fields(definition_.response_trailers());
    if (!definition_.has_error()) return answers_->end({}, std::move(trailers));
    Error error = read_error(definition_.error());
    if (sent_ == 0) error = with_request(std::move(error), describe(call_, requests_));
    answers_->end(std::move(error), std::move(trailers));
  }

  pb::StreamResponseDefinition definition_;
  int sent_ = 0;
  int answers_due_ = 0;  // of a full-duplex stream
  bool has_begun_ = false;
  bool has_ended_ = false;
  bool has_sent_headers_ = false;
  bool is_full_duplex_ = false;
  bool is_answering_ = false;
  bool is_over_ = false;
};

template <typename Request, typename Response>
wire::Method method(std::string name, wire::Method::Kind kind) {
  wire::Method line;
  line.service = "connectrpc.conformance.v1.ConformanceService";
  line.name = std::move(name);
  line.is_public = true;
  line.wants_metadata = true;
  line.kind = kind;
  line.request = &Request::default_instance();
  line.response = &Response::default_instance();
  return line;
}

template <typename Stream, typename Request, typename Response>
wire::Method stream_method(net::EventLoop& loop, std::string name, wire::Method::Kind kind) {
  wire::Method line = method<Request, Response>(std::move(name), kind);
  line.open = [&loop](Call call, std::shared_ptr<wire::AnswerStream> answers) {
    return std::make_unique<Stream>(loop, std::move(call), std::move(answers));
  };
  return line;
}

}  // namespace

wire::MethodTable conformance_methods(net::EventLoop& loop) {
  using Kind = wire::Method::Kind;
  auto unary = method<pb::UnaryRequest, pb::UnaryResponse>("Unary", Kind::unary);
  unary.handle = unary_handler<pb::UnaryRequest, pb::UnaryResponse>(loop);
  auto idempotent = method<pb::IdempotentUnaryRequest, pb::IdempotentUnaryResponse>(
      "IdempotentUnary", Kind::unary);
  idempotent.has_side_effects = false;
  idempotent.handle = unary_handler<pb::IdempotentUnaryRequest, pb::IdempotentUnaryResponse>(loop);

  using ServerStream = AnsweringStream<pb::ServerStreamRequest, pb::ServerStreamResponse>;
  using BidiStream = AnsweringStream<pb::BidiStreamRequest, pb::BidiStreamResponse>;
  return {std::move(unary), std::move(idempotent),
          stream_method<ServerStream, pb::ServerStreamRequest, pb::ServerStreamResponse>(
              loop, "ServerStream", Kind::server_stream),
          stream_method<ClientStream, pb::ClientStreamRequest, pb::ClientStreamResponse>(
              loop, "ClientStream", Kind::client_stream),
          stream_method<BidiStream, pb::BidiStreamRequest, pb::BidiStreamResponse>(
              loop, "BidiStream", Kind::bidi_stream)};
}

}  // namespace staithe::tests
