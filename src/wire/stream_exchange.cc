#include <atomic>
#include <utility>

#include "wire/call_exchange.h"
#include "wire/envelope.h"

namespace staithe::wire {
namespace {

// A call that is open for a while. Its method answers from any thread through a slot that is
// emptied when the call is over; what it sends is done on the loop, in its order.
class StreamExchange final : public CallExchange {
 public:
  explicit StreamExchange(Parts parts)
      : CallExchange(std::move(parts)),
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
    if (auto added = codec_->add(bytes); !added) return end(std::move(added).error(), {});
    deliver();
  }

  void on_request_end() override {
    is_request_whole_ = true;
    deliver();
  }

  void on_writable() override {
    slot_->is_unread.store(false, std::memory_order_relaxed);
    if (!slot_->is_congested()) go_on();
  }

 private:
  struct Slot {
    StreamExchange* handler = nullptr;         // of the loop's thread
    std::atomic<std::size_t> posted_bytes{0};  // on their way to the loop
    std::atomic<bool> is_full{false};          // they were too many, and are not few yet
    std::atomic<bool> is_unread{false};        // the exchange is congested

    bool is_congested() const {
      return is_full.load(std::memory_order_relaxed) || is_unread.load(std::memory_order_relaxed);
    }
    // Before a message is posted and after it is done. Whoever sets is_full has yet to post, so the
    // last message to be done finds it set.
    void add(std::size_t bytes) {
      if (posted_bytes.fetch_add(bytes) + bytes > net::Exchange::high_water_bytes) is_full = true;
    }
    // True when that ends being full.
    bool remove(std::size_t bytes) {
      const std::size_t left = posted_bytes.fetch_sub(bytes) - bytes;
      return left <= net::Exchange::low_water_bytes && is_full.exchange(false);
    }
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
      const std::size_t size = message->ByteSizeLong() + Envelope::head_bytes;
      slot_->add(size);
      loop_.post([slot = slot_, size, message = std::shared_ptr(std::move(message))] {
        if (slot->handler != nullptr) slot->handler->send_message(*message);
        const bool is_writable = slot->remove(size) && !slot->is_congested();
        if (slot->handler != nullptr && is_writable) slot->handler->go_on();
      });
    }
    void end(Result<void> outcome, Metadata trailers) override {
      const auto shared = std::make_shared<Result<void>>(std::move(outcome));
      loop_.post([slot = slot_, shared, trailers = std::move(trailers)] {
        if (slot->handler != nullptr) slot->handler->end(*shared, trailers);
      });
    }
    bool is_congested() const override { return slot_->is_congested(); }

   private:
    const std::shared_ptr<Slot> slot_;
    net::EventLoop& loop_;
  };

  // Hands over what the client has said for as long as it takes the answers: who does not read is
  // not read from either.
  void deliver() {
    while (!is_over_ && !is_request_heard_) {
      if (slot_->is_congested()) {
        if (!is_request_whole_) exchange_.pause_body();
        return;
      }
      auto message = codec_->next();
      if (!message) return end(std::move(message).error(), {});
      if (*message != nullptr) {
        call_->on_message(*std::move(message));
        continue;
      }
      if (!is_request_whole_) return;
      is_request_heard_ = true;
      if (auto whole = codec_->take_end(); !whole) return end(std::move(whole).error(), {});
      call_->on_end();
    }
  }

  void go_on() {
    if (is_over_) return;
    exchange_.resume_body();
    deliver();
    if (!is_over_) call_->on_writable();
  }

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
    if (exchange_.is_congested()) slot_->is_unread.store(true, std::memory_order_relaxed);
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
  bool is_request_whole_ = false;
  bool is_request_heard_ = false;  // by the method
};

}  // namespace

std::unique_ptr<net::ExchangeHandler> make_stream_exchange(CallExchange::Parts parts) {
  auto stream = std::make_unique<StreamExchange>(std::move(parts));
  if (!stream->start()) return nullptr;
  return stream;
}

}  // namespace staithe::wire
