#include "net/transport.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <cerrno>
#include <span>
#include <utility>

#include "base/check.h"

namespace staithe::net {

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
  // Widening is done at once. Narrowing waits for the first event that nobody wants, because most
  // interests come back before there is one, and then it was two system calls saved.
  if ((wanted_events() & ~watched_events_) != 0) update_watch();
}

std::uint32_t Transport::wanted_events() const {
  if (is_connecting_) return EPOLLOUT;
  std::uint32_t events = 0;
  if (interest_ == Interest::read) events |= EPOLLIN | EPOLLRDHUP;
  if (interest_ == Interest::hang_up) events |= EPOLLRDHUP;
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
  const std::span<char> buffer = loop_.read_buffer();
  const ssize_t size = ::recv(fd_.get(), buffer.data(), buffer.size(), 0);
  if (size > 0) {
    handler_->on_bytes({buffer.data(), static_cast<std::size_t>(size)});
  } else if (size == 0) {
    handler_->on_read_end();
  } else if (errno != EAGAIN && errno != EINTR) {
    handler_->on_broken(errno);
  }
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
  if (is_connecting_ || is_blocked_ || is_broken_ || unsent_bytes() == 0) return;
  ssize_t taken = 0;
  do {
    taken = ::send(fd_.get(), unsent_.data() + sent_, unsent_bytes(), MSG_NOSIGNAL);
  } while (taken < 0 && errno == EINTR);

  if (taken < 0 && errno != EAGAIN) {
    // Whatever broke the connection also wakes its reader, who can still read what came before.
    is_broken_ = true;
    unsent_ = {};
    sent_ = 0;
    return;
  }
  if (taken > 0) {
    sent_ += static_cast<std::size_t>(taken);
    written_bytes_ += static_cast<std::uint64_t>(taken);
  }
  stalled_since_ = loop_.now();
  is_blocked_ = unsent_bytes() > 0;
  if (!is_blocked_) {
    unsent_ = {};  // an idle stream holds no buffer
    sent_ = 0;
  } else if (sent_ > high_water_bytes) {
    unsent_.erase(0, sent_);
    sent_ = 0;
  }
}

void Transport::shutdown_sending() {
  if (is_open()) ::shutdown(fd_.get(), SHUT_WR);
}

void Transport::close() {
  if (!is_open()) return;
  loop_.cancel_turn_work(std::exchange(flush_work_, 0));
  if (!is_suspended_) loop_.unwatch(fd_.get());
  fd_.reset();
  unsent_ = {};
  sent_ = 0;
}

void Transport::reset() {
  if (!is_open()) return;
  const linger abort_on_close{1, 0};
  ::setsockopt(fd_.get(), SOL_SOCKET, SO_LINGER, &abort_on_close, sizeof abort_on_close);
  close();
}

void Transport::suspend() {
  if (!is_open() || is_suspended_) return;
  is_suspended_ = true;
  loop_.unwatch(fd_.get());
}

}  // namespace staithe::net
