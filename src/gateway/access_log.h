#pragma once

#include <initializer_list>

#include "base/log.h"
#include "net/event_loop.h"

namespace staithe::gateway {

// One loop's lines about requests, written together at the end of each turn.
class AccessLog {
 public:
  AccessLog(net::EventLoop& loop, const Log& log) : loop_(loop), lines_(log) {}
  ~AccessLog() { loop_.cancel_turn_work(write_); }
  AccessLog(const AccessLog&) = delete;
  AccessLog& operator=(const AccessLog&) = delete;

  void add(std::initializer_list<LogField> fields) {
    lines_.info("request", fields);
    if (write_ != 0) return;
    write_ = loop_.at_end_of_turn([this] {
      write_ = 0;
      lines_.write();
    });
  }

 private:
  net::EventLoop& loop_;
  LogBatch lines_;  // what is left is written when it goes
  net::TurnWorkId write_ = 0;
};

}  // namespace staithe::gateway
