#include "runtime/local/back_off.h"

#include <algorithm>

namespace staithe::runtime {

void BackOff::on_start(Instant now) {
  starts_ += 1;
  is_ready_ = false;
  restart_at_ = now;
}

void BackOff::on_ready(Instant now) {
  if (!is_ready_) ready_at_ = now;
  is_ready_ = true;
  was_ever_ready_ = true;
  ports_lost_ = 0;
}

void BackOff::on_exit(Instant now) {
  const bool was_healthy = is_ready_ && now - ready_at_ >= options_.healthy_life_min;
  crashes_ = was_healthy ? 1 : crashes_ + 1;
  is_ready_ = false;
  Duration delay = options_.delay_first;
  for (std::uint32_t i = 1; i < crashes_ && delay < options_.delay_max; ++i) delay *= 2;
  restart_at_ = now + std::min(delay, options_.delay_max);
}

void BackOff::on_port_lost(Instant now) {
  constexpr std::uint32_t ports_lost_max = 3;
  ports_lost_ += 1;
  if (ports_lost_ > ports_lost_max) return on_exit(now);
  is_ready_ = false;
  restart_at_ = now;
}

}  // namespace staithe::runtime
