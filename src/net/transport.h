#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/unique_fd.h"
#include "net/event_loop.h"
#include "net/outgoing_bytes.h"
#include "net/tls_session.h"
#include "net/water_marks.h"

namespace staithe::net {

// Told what happens to a Transport. Calls come from the loop, never from within a call to the
// Transport. A handler may close the Transport in any of them.
class TransportHandler {
 public:
  virtual ~TransportHandler() = default;
  virtual void on_connected() {}
  virtual void on_secured() {}                        // the TLS handshake is done
  virtual void on_bytes(std::string_view bytes) = 0;  // die with the call
  virtual void on_read_end() = 0;                     // the peer has closed its sending side
  virtual void on_broken(int error) = 0;  // reset, unreachable and so on: an errno, or 0
  // The peer hung up while nobody read. With Interest::none only when both directions are gone.
  virtual void on_hang_up() = 0;
  virtual void on_flushed() = 0;   // a write was tried; see unsent_bytes()
  virtual void on_writable() = 0;  // congestion is over
};

// A connected socket of one loop: bytes in, bytes out, and nothing about what they mean. TLS, if
// any, is spoken in here, so that codecs need not know.
//
// What a turn sends is gathered and written once at its end; only more than the high-water mark is
// written at once, and so is a long piece, which goes out of its owner's memory as far as the
// kernel takes it. The buffer has memory only while it has bytes.
//
// Over TLS all of this holds for what is inside. A peer that ends it (close_notify) has closed its
// sending side, with or without an end of the connection below; many wait for our end in turn. To
// see that while nobody reads, a record may be read ahead, and is kept for the next reader. We end
// it before we close or shut down sending, unless bytes are left unsent or reset() is meant.
class Transport final : private FdHandler {
 public:
  enum class Phase : std::uint8_t { connecting, connected };
  enum class Interest : std::uint8_t {
    none,     // bytes wait in the kernel
    hang_up,  // so do they, but the peer's close is told at once
    read,
  };

  Transport(EventLoop& loop, TransportHandler& handler) : loop_(loop), handler_(&handler) {}
  ~Transport() override { close(); }
  Transport(const Transport&) = delete;
  Transport& operator=(const Transport&) = delete;

  // Whoever has found out what the peer speaks takes over.
  void set_handler(TransportHandler& handler) { handler_ = &handler; }

  void open(UniqueFd fd, Phase phase);
  bool is_open() const { return fd_.is_open(); }
  bool is_connecting() const { return is_connecting_; }
  int fd() const { return fd_.get(); }

  // Goes on in TLS, in which `first_bytes` are the first that came. As read_now(); as the last
  // thing of whoever calls, which may be on_bytes().
  void start_tls(std::unique_ptr<TlsSession> session, std::string_view first_bytes);
  bool is_secure() const { return tls_ != nullptr; }
  const TlsSession* tls() const { return tls_.get(); }

  void set_interest(Interest interest);
  // Reads what is there now, as if the loop had said so. Not from within a handler's call.
  void read_now();

  // `append` puts bytes after the std::string it is given. Nothing happens on a closed transport.
  template <typename Append>
  void send_with(Append append) {
    if (!is_open() || is_broken_) return;
    append(unsent_.back(loop_));
    after_send();
  }
  void send(std::string_view bytes);
  // on_flushed() at the end of this turn, also if there is nothing to write.
  void request_flush();
  std::size_t unsent_bytes() const {
    return unsent_.size() + (tls_ == nullptr ? 0 : tls_->outgoing().size());
  }
  bool is_congested() const { return is_congested_; }
  bool is_blocked() const { return is_blocked_; }  // the kernel takes no more for now
  std::uint64_t written_bytes() const { return written_bytes_; }  // taken by the kernel so far
  // While blocked: since when the kernel has taken nothing.
  Instant stalled_since() const { return stalled_since_; }

  void shutdown_sending();
  void close();
  // Closes with a reset instead of an end (RFC 9293 section 3.10.5: ABORT).
  void reset();
  // Takes no events until there is an interest again, not even those epoll always gives.
  void suspend();

 private:
  void on_ready(std::uint32_t epoll_events) override;
  void finish_connect();
  void take_sealed(std::string_view sealed);
  bool is_tls_broken() const;
  bool is_read_ahead_due() const;
  void read_ahead();
  bool has_unannounced() const;
  void announce_later();
  void announce();
  void after_send();
  void flush();
  void write_some();
  std::size_t write_once(OutgoingBytes& outgoing, std::string_view more = {});
  void end_tls();
  void drop();
  void update_watch();
  std::uint32_t wanted_events() const;

  EventLoop& loop_;
  TransportHandler* handler_;
  UniqueFd fd_;
  std::uint32_t watched_events_ = 0;
  Interest interest_ = Interest::none;
  bool is_connecting_ = false;
  bool is_suspended_ = false;
  bool is_blocked_ = false;
  bool is_congested_ = false;
  bool is_broken_ = false;  // writing failed; reading tells why
  OutgoingBytes unsent_;    // over TLS not sealed yet
  std::uint64_t written_bytes_ = 0;
  Instant stalled_since_{};
  TurnWorkId flush_work_ = 0;
  std::unique_ptr<TlsSession> tls_;
  std::string read_ahead_;  // out of TLS, for whoever reads next
  TimerId announce_timer_ = 0;
};

}  // namespace staithe::net
