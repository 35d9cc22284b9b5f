#include "gateway/phase_book.h"

#include <string>
#include <string_view>
#include <utility>

namespace staithe::gateway {
namespace {

constexpr std::string_view phase_names[] = {"auth",       "receiving", "queued",
                                            "connecting", "waiting",   "streaming"};

}  // namespace

PhaseBook::PhaseBook(net::EventLoop& loop, Metrics& metrics) : loop_(loop) {
  for (std::size_t i = 0; i < phase_count; ++i) {
    gauges_[i] = &metrics.gauge("staithe_gateway_open_requests",
                                "Requests that are under way, by where they are: whose key is "
                                "asked about, that are still coming in, wait for a replica with "
                                "room, connect, wait for the answer, get it.",
                                {{"phase", std::string(phase_names[i])}});
  }
}

PhaseBook::~PhaseBook() {
  loop_.cancel_turn_work(work_);
  tell();
}

void PhaseBook::move(RequestPhase from, RequestPhase to) {
  if (from != RequestPhase::over) --untold_[static_cast<std::size_t>(from)];
  if (to != RequestPhase::over) ++untold_[static_cast<std::size_t>(to)];
  if (work_ == 0) work_ = loop_.at_end_of_turn([this] { tell(); });
}

void PhaseBook::tell() {
  work_ = 0;
  for (std::size_t i = 0; i < phase_count; ++i) {
    const std::int64_t by = std::exchange(untold_[i], 0);
    if (by != 0) gauges_[i]->add(by);
  }
}

}  // namespace staithe::gateway
