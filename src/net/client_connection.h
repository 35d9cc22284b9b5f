#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "net/chunked_codec.h"
#include "net/deadline.h"
#include "net/head_parser.h"
#include "net/http_client.h"
#include "net/transport.h"
#include "net/unread_bytes.h"

namespace staithe::net {

class ClientConnection;

// What a connection needs of its client.
class ClientConnectionOwner {
 public:
  virtual ~ClientConnectionOwner() = default;
  virtual EventLoop& loop() = 0;
  virtual const HttpClient::Limits& limits() const = 0;
  // Room for the one head that is being read, shared so that its memory is.
  virtual ParsedResponse& response_space() = 0;
  // The exchange is over and the connection can carry another one; false: it is not wanted.
  virtual bool keep(ClientConnection& connection) = 0;
  // The connection is closed; it is destroyed after this turn.
  virtual void on_closed(ClientConnection& connection) = 0;
};

// The user's end of one request on one connection, until either goes.
class ConnectionExchange final : public ClientExchange {
 public:
  explicit ConnectionExchange(ClientConnection& connection) : connection_(&connection) {}
  ~ConnectionExchange() override;
  void send_body(std::string_view bytes) override;
  void finish_body() override;
  bool is_congested() const override;
  void pause() override;
  void resume() override;

 private:
  friend class ClientConnection;
  ClientConnection* connection_;  // null once the exchange is over
};

// The client's side of one HTTP/1.1 connection.
//
//   connecting ──▶ head ──▶ body ──▶ idle ──next request──▶ head
//        │          │         │       │
//        └──────────┴─────────┴───────┴──▶ closed
//
// `head` waits for the head of a final answer while the request's body may still be on its way out.
// An answer that ends before its request does leaves nothing to keep: the connection is closed.
// After an answer in chunks `idle` begins with a while in which nobody gets the connection.
class ClientConnection final : private TransportHandler {
 public:
  ClientConnection(ClientConnectionOwner& owner, Endpoint endpoint);

  const Endpoint& endpoint() const { return endpoint_; }
  bool is_idle() const { return state_ == State::idle; }

  // Begins to connect. A failure is told on a later turn.
  void connect();
  // Begins a request on a connection that is new or idle.
  void begin(const ClientRequest& request, const ClientTimeouts& timeouts, ClientHandler& handler,
             ConnectionExchange& exchange);
  // Closes without telling the handler.
  void close();

  void send_body(std::string_view bytes);
  void finish_body();
  bool is_congested() const { return transport_.is_congested(); }
  void pause();
  void resume();

 private:
  enum class State : std::uint8_t { connecting, head, body, idle, closed };

  // TransportHandler
  void on_connected() override;
  void on_bytes(std::string_view bytes) override;
  void on_read_end() override;
  void on_broken(int error) override;
  void on_hang_up() override;
  void on_flushed() override;
  void on_writable() override;

  void advance(std::string_view& input);
  bool advance_head(std::string_view& input);
  bool advance_body(std::string_view& input);
  void end_answer(bool may_keep);
  ClientHandler* detach();
  void fail(ClientFailure::Kind kind, std::string message);
  void fail_later(ClientFailure::Kind kind, std::string message);
  std::string describe_short_body() const;
  bool is_request_delivered() const;
  bool may_keep_after(const ParsedResponse& response);
  void schedule_advance();
  void await_answer();
  void on_deadline();

  ClientConnectionOwner& owner_;
  const Endpoint endpoint_;
  Transport transport_;
  Deadline deadline_;
  ClientHandler* handler_ = nullptr;
  ConnectionExchange* exchange_ = nullptr;
  ClientTimeouts timeouts_;
  UnreadBytes unread_;
  HeadScanner scanner_;
  ChunkedDecoder decoder_;
  BodyFraming body_;
  std::uint64_t body_read_ = 0;
  std::uint64_t request_left_ = 0;  // of a request body framed by length
  // How much was written before this request, and how much of what was written the peer's kernel
  // acknowledged when there had been nothing to acknowledge but the connection itself.
  std::uint64_t written_before_ = 0;
  std::uint64_t acknowledged_at_connect_ = 0;
  std::uint32_t request_count_ = 0;
  std::uint32_t interim_count_ = 0;
  Duration idle_max_{};
  Duration settle_{};         // how long to wait behind this answer before it may be used again
  bool is_settling_ = false;  // idle, and not yet in the pool
  TimerId later_timer_ = 0;

  State state_ = State::connecting;
  AnsweredMethod method_ = AnsweredMethod::other;
  BodyFraming::Kind request_kind_ = BodyFraming::Kind::none;
  bool is_request_sent_ = false;
  bool is_paused_ = false;
  bool is_close_asked_ = false;  // by our request
  bool is_persistent_ = false;   // by the answer
  bool has_answer_bytes_ = false;
  bool has_peer_ended_ = false;  // its sending side, in order
  bool has_hung_up_ = false;     // while nobody read
};

}  // namespace staithe::net
