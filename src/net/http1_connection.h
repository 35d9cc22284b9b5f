#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "net/chunked_codec.h"
#include "net/deadline.h"
#include "net/exchange.h"
#include "net/exchange_slot.h"
#include "net/head_parser.h"
#include "net/pace_watch.h"
#include "net/server_connection.h"
#include "net/transport.h"
#include "net/unread_bytes.h"

namespace staithe::net {

// The server's side of one HTTP/1.1 connection, and the one exchange in progress on it.
//
//                head read               body read
//     ┌─▶ head ───────────▶ body ────────────────────▶ answer
//     │    │                 │ answered early            │ answered
//     │    │ refused         ├──────────▶ skip ─────┐    │
//     │    │                 │ a lot is left        │ body read
//     │    ▼                 ▼                      ▼    ▼
//     │   linger ◀───────────┴──────────────── is the connection kept?
//     │    │ client gone, or long enough             │yes │no
//     └────┼─────────────────────────────────────────┘    ▼
//          └────────────────▶ closed ◀───────── flush (or linger)
//
// `head` is also the rest between requests. `flush` writes what is left and closes. `linger` also
// shuts the sending side down and reads on for a while, so that the client gets to read the answer
// before a reset destroys it (RFC 9112 section 9.6). A hang-up leads to `closed` from anywhere.
//
// While an exchange is open, a client that has shut down its sending side counts as gone: close()
// looks the same from here, and an engine that works for nobody costs more than the rare client
// that only half-closes. Such a client is still answered if the answer is given within the turn
// that reads its request.
class Http1Connection final : public ServerConnection, public Exchange, private TransportHandler {
 public:
  Http1Connection(ServerConnectionOwner& owner, std::unique_ptr<Transport> transport,
                  std::string peer_address);
  // What was read before it was known to be HTTP/1.1. Once, and after the owner has this object.
  void take_first_bytes(std::string_view bytes) { on_bytes(bytes); }
  // Answers with `refusal` whatever comes, and closes. In place of take_first_bytes().
  void turn_away(const Refusal& refusal) { refuse(refusal); }

  // ServerConnection
  void drain() override;
  void close() override;

  // Exchange
  void send_head(const AnswerHead& head) override;
  void send_body(std::string_view bytes) override;
  void finish_with(const HeaderList& trailers) override;
  void abort() override;
  bool is_congested() const override { return transport_->is_congested(); }
  std::size_t unsent_bytes() const override { return transport_->unsent_bytes(); }
  void pause_body() override;
  void resume_body() override;
  std::string_view peer_address() const override { return peer_address_; }
  bool is_secure() const override { return transport_->is_secure(); }
  EventLoop& loop() override { return owner_.loop(); }

 private:
  enum class State : std::uint8_t { head, body, answer, skip, flush, linger, closed };

  // TransportHandler
  void on_bytes(std::string_view bytes) override;
  void on_read_end() override;
  void on_broken(int error) override;
  void on_hang_up() override;
  void on_flushed() override;
  void on_writable() override;

  void advance(std::string_view& input);
  bool advance_head(std::string_view& input);
  bool advance_body(std::string_view& input);
  void take_body(std::string_view bytes);
  void open_exchange(const ParsedRequest& request);
  void end_request();
  void break_off(const Refusal& refusal);
  void refuse(const Refusal& refusal);
  void send_continue();
  BodyFraming frame_answer(const AnswerHead& head);
  bool is_request_read() const;
  bool may_skip_request_rest() const;

  bool is_idle() const { return state_ == State::head && unread_.is_empty(); }
  void end_exchange();
  void cancel_exchange();
  void go_on_or_close();
  void start_flush();
  void start_linger();

  bool is_held() const;
  void schedule_advance();
  void settle();
  void update_interest();
  void update_read_due();
  void update_deadline();
  void on_deadline();

  ServerConnectionOwner& owner_;
  const std::unique_ptr<Transport> transport_;
  ExchangeSlot exchange_;
  Deadline deadline_;
  Instant read_due_ = Deadline::never;
  PaceWatch body_pace_;
  std::string peer_address_;
  UnreadBytes unread_;
  HeadScanner scanner_;
  ChunkedDecoder decoder_;
  std::uint64_t request_left_ = 0;  // of a body framed by length
  std::uint64_t answer_left_ = 0;   // of a body framed by length
  TimerId advance_timer_ = 0;

  State state_ = State::head;
  BodyFraming::Kind request_kind_ = BodyFraming::Kind::none;
  BodyFraming::Kind answer_kind_ = BodyFraming::Kind::none;
  std::uint8_t http_minor_ = 1;
  bool is_head_method_ = false;
  bool is_kept_ = true;               // this connection goes on after the exchange
  bool is_close_asked_ = false;       // by the client, who will send nothing more
  bool is_continue_awaited_ = false;  // the client holds its body back
  bool is_body_paused_ = false;
  bool is_answer_started_ = false;
  bool has_ended_exchange_ = false;  // within this advance()
  bool is_head_begun_ = false;
  bool is_sending_shut_ = false;
  bool is_reset_due_ = false;  // once everything is flushed
};

}  // namespace staithe::net
