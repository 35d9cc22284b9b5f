#include "net/transport.h"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <span>
#include <utility>

#include "base/check.h"

#include "base/free_memory.h"

namespace staithe::net {
namespace {

// Copying less than this costs less than a system call of its own.
constexpr std::size_t long_piece_bytes = 16 * 1024;
// What is sealed at a time: a few records, so that little waits sealed for a slow peer.
constexpr std::size_t seal_bytes_max = 32 * 1024;
// What may wait to be sent besides that: answers of TLS itself. A peer that asks for more of them
// (by KeyUpdate, RFC 8446 section 4.6.3) than it reads is up to no good.
constexpr std::size_t sealed_bytes_max = 256 * 1024;
constexpr std::size_t read_ahead_bytes_max = 16 * 1024;

}  // namespace

void Transport::open(UniqueFd fd, Phase phase) {
  CHECK(!is_open() && fd.is_open());
  fd_ = std::move(fd);
  is_connecting_ = phase == Phase::connecting;
  watched_events_ = wanted_events();
  loop_.watch(fd_.get(), watched_events_, *this);
}

void Transport::set_interest(Interest interest) {
  interest_ = interest;
  if (!is_open()) return;
  if (is_suspended_) {
    if (interest == Interest::none) return;
    is_suspended_ = false;
    watched_events_ = wanted_events();
    loop_.watch(fd_.get(), watched_events_, *this);
    return;
  }
  announce_later();
  // Widening is done at once. Narrowing waits for the first event that nobody wants, because most
  // interests come back before there is one, and then it was two system calls saved.
  if ((wanted_events() & ~watched_events_) != 0) update_watch();
}

std::uint32_t Transport::wanted_events() const {
  if (is_connecting_) return EPOLLOUT;
  std::uint32_t events = 0;
  if (interest_ == Interest::read) events |= EPOLLIN | EPOLLRDHUP;
  if (interest_ == Interest::hang_up) events |= EPOLLRDHUP;
  if (is_read_ahead_due()) events |= EPOLLIN;
  // A congestion that is over is told on the next turn, not from within a flush.
  if (is_blocked_ || is_congested_) events |= EPOLLOUT;
  return events;
}

void Transport::update_watch() {
  const std::uint32_t wanted = wanted_events();
  if (is_suspended_ || wanted == watched_events_) return;
  watched_events_ = wanted;
  loop_.rewatch(fd_.get(), wanted, *this);
}

void Transport::on_ready(std::uint32_t epoll_events) {
  if (is_connecting_) return finish_connect();
  if ((epoll_events & EPOLLOUT) != 0) {
    is_blocked_ = false;
    write_some();
    handler_->on_flushed();
    if (!is_open()) return;
    if (is_congested_ && unsent_bytes() <= low_water_bytes) {
      is_congested_ = false;
      handler_->on_writable();
      if (!is_open()) return;
    }
    update_watch();
  }

  const bool is_gone = (epoll_events & (EPOLLHUP | EPOLLERR)) != 0;
  const bool has_hung_up = is_gone || (epoll_events & EPOLLRDHUP) != 0;
  const bool has_bytes = (epoll_events & EPOLLIN) != 0;
  switch (interest_) {
    case Interest::read:
      if (has_bytes || has_hung_up) read_now();
      return;
    case Interest::hang_up:
      if (has_hung_up) return handler_->on_hang_up();
      if (has_bytes && is_read_ahead_due()) read_ahead();
      if (!is_open()) return;
      break;
    case Interest::none:
      if (is_gone) return handler_->on_hang_up();
      break;
  }
  if (has_bytes || has_hung_up) update_watch();
}

void Transport::finish_connect() {
  int error = 0;
  socklen_t size = sizeof error;
  ::getsockopt(fd_.get(), SOL_SOCKET, SO_ERROR, &error, &size);
  if (error != 0) return handler_->on_broken(error);
  is_connecting_ = false;
  if (unsent_bytes() > 0) request_flush();
  update_watch();
  handler_->on_connected();
}

void Transport::read_now() {
  if (!read_ahead_.empty()) {
    const std::string bytes = std::exchange(read_ahead_, {});
    return handler_->on_bytes(bytes);
  }
  const std::span<char> buffer = loop_.read_buffer();
  const ssize_t size = ::recv(fd_.get(), buffer.data(), buffer.size(), 0);
  if (size > 0) {
    const std::string_view bytes(buffer.data(), static_cast<std::size_t>(size));
    tls_ == nullptr ? handler_->on_bytes(bytes) : take_sealed(bytes);
  } else if (size == 0) {
    handler_->on_read_end();
  } else if (errno != EAGAIN && errno != EINTR) {
    handler_->on_broken(errno);
  }
}

void Transport::send(std::string_view bytes) {
  if (!is_open() || is_broken_) return;
  if (tls_ == nullptr && bytes.size() >= long_piece_bytes) {
    bytes.remove_prefix(write_once(unsent_, bytes));
  }
  if (!is_broken_ && !bytes.empty()) unsent_.back(loop_) += bytes;
  after_send();
}

void Transport::after_send() {
  if (unsent_bytes() > high_water_bytes) {
    write_some();
    if (unsent_bytes() > high_water_bytes && !is_congested_) {
      is_congested_ = true;
      update_watch();
    }
  }
  request_flush();
}

void Transport::request_flush() {
  if (is_open() && flush_work_ == 0) flush_work_ = loop_.at_end_of_turn([this] { flush(); });
}

void Transport::flush() {
  flush_work_ = 0;
  write_some();
  update_watch();
  handler_->on_flushed();
}

void Transport::write_some() {
  if (tls_ == nullptr) {
    write_once(unsent_);
    return;
  }
  do {
    OutgoingBytes& sealed = tls_->outgoing();
    if (sealed.is_empty() && tls_->is_established()) {
      const std::string_view plain = unsent_.view().substr(0, seal_bytes_max);
      tls_->seal(plain);
      unsent_.take(plain.size(), loop_);
    }
    write_once(sealed);
  } while (!unsent_.is_empty() && tls_->is_established() && !is_blocked_ && !is_broken_);
}

// Writes what is gathered and `more` behind it. How many of `more` were taken.
std::size_t Transport::write_once(OutgoingBytes& outgoing, std::string_view more) {
  const std::size_t size = outgoing.size() + more.size();
  if (is_connecting_ || is_blocked_ || is_broken_ || size == 0) return 0;
  std::array<iovec, 2> pieces{iovec{const_cast<char*>(outgoing.view().data()), outgoing.size()},
                              iovec{const_cast<char*>(more.data()), more.size()}};
  const msghdr message{.msg_name = nullptr,
                       .msg_namelen = 0,
                       .msg_iov = pieces.data(),
                       .msg_iovlen = more.empty() ? 1U : 2U,
                       .msg_control = nullptr,
                       .msg_controllen = 0,
                       .msg_flags = 0};
  ssize_t sent = 0;
  do {
    sent = ::sendmsg(fd_.get(), &message, MSG_NOSIGNAL);
  } while (sent < 0 && errno == EINTR);

  if (sent < 0 && errno != EAGAIN) {
    // Whatever broke the connection also wakes its reader, who can still read what came before.
    is_broken_ = true;
    unsent_.clear();
    outgoing.clear();
    return 0;
  }
  const std::size_t taken = sent < 0 ? 0 : static_cast<std::size_t>(sent);
  const std::size_t taken_of_outgoing = std::min(taken, outgoing.size());
  if (taken_of_outgoing > 0) outgoing.take(taken_of_outgoing, loop_);
  written_bytes_ += taken;
  stalled_since_ = loop_.now();
  is_blocked_ = taken < size;
  return taken - taken_of_outgoing;
}

void Transport::shutdown_sending() {
  if (!is_open()) return;
  end_tls();
  ::shutdown(fd_.get(), SHUT_WR);
}

void Transport::close() {
  if (!is_open()) return;
  end_tls();
  drop();
}

void Transport::drop() {
  loop_.cancel_turn_work(std::exchange(flush_work_, 0));
  loop_.cancel(std::exchange(announce_timer_, 0));
  if (!is_suspended_) loop_.unwatch(fd_.get());
  fd_.reset();
  unsent_.clear();
  free_memory(read_ahead_);
}

void Transport::reset() {
  if (!is_open()) return;
  const linger abort_on_close{1, 0};
  ::setsockopt(fd_.get(), SOL_SOCKET, SO_LINGER, &abort_on_close, sizeof abort_on_close);
  drop();
}

void Transport::suspend() {
  if (!is_open() || is_suspended_) return;
  is_suspended_ = true;
  loop_.unwatch(fd_.get());
}

// --- TLS -----------------------------------------------------------------------------------------

void Transport::start_tls(std::unique_ptr<TlsSession> session, std::string_view first_bytes) {
  CHECK(is_open() && !is_secure());
  tls_ = std::move(session);
  take_sealed(first_bytes);
}

void Transport::take_sealed(std::string_view sealed) {
  const bool was_established = tls_->is_established();
  const std::string_view plain = tls_->open(sealed, loop_.second_buffer());
  if (!tls_->outgoing().is_empty()) request_flush();
  if (!was_established && tls_->is_established()) {
    handler_->on_secured();
    if (!is_open()) return;
  }
  if (!plain.empty()) {
    handler_->on_bytes(plain);
    if (!is_open()) return;
  }
  if (is_tls_broken()) {
    write_some();  // the alert that says why
    return handler_->on_broken(EPROTO);
  }
  announce_later();
}

bool Transport::is_tls_broken() const {
  return tls_->phase() == TlsSession::Phase::broken || tls_->outgoing().size() > sealed_bytes_max;
}

bool Transport::is_read_ahead_due() const {
  return interest_ == Interest::hang_up && is_secure() && !has_unannounced();
}

// Looks whether what the peer sent is the end of TLS.
void Transport::read_ahead() {
  const std::span<char> buffer = loop_.read_buffer().first(read_ahead_bytes_max);
  const ssize_t size = ::recv(fd_.get(), buffer.data(), buffer.size(), 0);
  if (size <= 0) return;  // what this is, epoll tells
  const std::string_view sealed(buffer.data(), static_cast<std::size_t>(size));
  read_ahead_ = tls_->open(sealed, loop_.second_buffer());
  if (!tls_->outgoing().is_empty()) request_flush();
  if (is_tls_broken()) {
    write_some();
    return handler_->on_broken(EPROTO);
  }
  if (tls_->phase() == TlsSession::Phase::ended) handler_->on_hang_up();
}

// What came out of TLS and epoll knows nothing of.
bool Transport::has_unannounced() const {
  return !read_ahead_.empty() || (is_secure() && tls_->phase() == TlsSession::Phase::ended);
}

void Transport::announce_later() {
  if (!has_unannounced() || interest_ == Interest::none || announce_timer_ != 0) return;
  announce_timer_ = loop_.run_after(Duration::zero(), [this] {
    announce_timer_ = 0;
    announce();
  });
}

void Transport::announce() {
  if (!has_unannounced() || interest_ == Interest::none) return;
  const bool is_ended = tls_->phase() == TlsSession::Phase::ended;
  if (interest_ == Interest::hang_up) {
    if (is_ended) handler_->on_hang_up();
    return;
  }
  if (read_ahead_.empty()) return handler_->on_read_end();
  read_now();
  if (is_open()) announce_later();
}

void Transport::end_tls() {
  if (!is_secure() || unsent_bytes() > 0) return;
  tls_->end();
  write_some();
}

}  // namespace staithe::net
