#include <atomic>
#include <utility>

#include "wire/call_exchange.h"

namespace staithe::wire {
namespace {

// A call that is open for a while. Its method answers from any thread through a slot that is
// emptied when the call is over; what it sends is done on the loop, in its order.
class StreamExchange final : public CallExchange {
 public:
  StreamExchange(Parts parts, const net::RequestHead& head)
      : CallExchange(std::move(parts), head),
        slot_(std::make_shared<Slot>()),
        answers_(std::make_shared<Answers>(slot_, exchange_.loop())) {
    slot_->handler = this;
  }
  ~StreamExchange() override { slot_->handler = nullptr; }

  // False if the call is over already.
  bool start() {
    auto principal = authorize();
    if (!principal) return refuse(principal.error());
    auto call = begin(*std::move(principal));
    if (!call) return refuse(call.error());
    codec_ = dialect_.open(*method_, request_);
    call_ = method_->open(*std::move(call), answers_);
    return true;
  }

  void on_body(std::string_view bytes) override {
    if (is_over_) return;
    auto messages = codec_->take(bytes);
    if (!messages) return end(std::move(messages).error(), {});
    for (MessagePtr& message : *messages) call_->on_message(std::move(message));
    // Who does not read the answers is not read from either.
    if (exchange_.is_congested()) exchange_.pause_body();
  }

  void on_request_end() override {
    if (is_over_) return;
    if (auto whole = codec_->take_end(); !whole) return end(std::move(whole).error(), {});
    call_->on_end();
  }

  void on_writable() override {
    if (is_over_) return;
    slot_->is_congested.store(false, std::memory_order_relaxed);
    exchange_.resume_body();
    call_->on_writable();
  }

  void on_cancelled() override { is_over_ = true; }

 private:
  struct Slot {
    StreamExchange* handler = nullptr;  // of the loop's thread
    std::atomic<bool> is_congested{false};
  };

  class Answers final : public AnswerStream {
   public:
    Answers(std::shared_ptr<Slot> slot, net::EventLoop& loop)
        : slot_(std::move(slot)), loop_(loop) {}
    void send_headers(Metadata headers) override {
      loop_.post([slot = slot_, headers = std::move(headers)] {
        if (slot->handler != nullptr) slot->handler->send_stream_head(headers);
      });
    }
    void send(MessagePtr message) override {
      loop_.post([slot = slot_, message = std::shared_ptr(std::move(message))] {
        if (slot->handler != nullptr) slot->handler->send_message(*message);
      });
    }
    void end(Result<void> outcome, Metadata trailers) override {
      const auto shared = std::make_shared<Result<void>>(std::move(outcome));
      loop_.post([slot = slot_, shared, trailers = std::move(trailers)] {
        if (slot->handler != nullptr) slot->handler->end(*shared, trailers);
      });
    }
    bool is_congested() const override {
      return slot_->is_congested.load(std::memory_order_relaxed);
    }

   private:
    const std::shared_ptr<Slot> slot_;
    net::EventLoop& loop_;
  };

  bool refuse(const Error& error) {
    send(dialect_.write_error(error, request_), error.code);
    return false;
  }

  void send_stream_head(const Metadata& headers) {
    if (is_over_ || std::exchange(is_head_sent_, true)) return;
    send_head(codec_->head(headers));
  }

  void send_message(const google::protobuf::Message& message) {
    if (is_over_) return;
    send_stream_head({});
    exchange_.send_body(codec_->write(message));
    if (exchange_.is_congested()) slot_->is_congested.store(true, std::memory_order_relaxed);
  }

  void end(const Result<void>& outcome, const Metadata& trailers) {
    if (is_over_) return;
    const Code code = outcome ? Code::ok : outcome.error().code;
    if (!is_head_sent_ && !outcome) return send(codec_->end_at_once(outcome, trailers), code);
    send_stream_head({});
    const RawAnswer answer = codec_->end(outcome, trailers);
    exchange_.send_body(answer.body);
    finish(answer, code);
  }

  void on_deadline() override {
    end(Error{.code = Code::deadline_exceeded,
              .message = "the call's deadline passed",
              .reason = "DEADLINE_EXCEEDED"},
        {});
  }

  const std::shared_ptr<Slot> slot_;
  const std::shared_ptr<Answers> answers_;
  std::unique_ptr<StreamCodec> codec_;
  std::unique_ptr<CallStream> call_;
  bool is_head_sent_ = false;
};

}  // namespace

std::unique_ptr<net::ExchangeHandler> make_stream_exchange(CallExchange::Parts parts,
                                                           const net::RequestHead& head) {
  auto stream = std::make_unique<StreamExchange>(std::move(parts), head);
  if (!stream->start()) return nullptr;
  return stream;
}

}  // namespace staithe::wire
