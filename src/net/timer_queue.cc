#include "net/timer_queue.h"

#include <utility>

namespace staithe::net {

TimerId TimerQueue::add(Instant due, std::function<void()> work) {
  std::uint32_t slot = 0;
  if (free_slots_.empty()) {
    slot = static_cast<std::uint32_t>(slots_.size());
    slots_.emplace_back();
  } else {
    slot = free_slots_.back();
    free_slots_.pop_back();
  }
  slots_[slot].work = std::move(work);
  const auto place = static_cast<std::uint32_t>(heap_.size());
  heap_.push_back({});
  put(place, {due, next_sequence_++, slot});
  sift_up(place);
  return (TimerId{slots_[slot].generation} << 32) | slot;
}

void TimerQueue::cancel(TimerId timer) {
  const auto slot = static_cast<std::uint32_t>(timer);
  const auto generation = static_cast<std::uint32_t>(timer >> 32);
  if (slot < slots_.size() && slots_[slot].generation == generation) remove(slots_[slot].place);
}

std::optional<Instant> TimerQueue::next_due() const {
  if (heap_.empty()) return std::nullopt;
  return heap_.front().due;
}

std::function<void()> TimerQueue::take_due(Instant now, std::uint64_t mark) {
  if (heap_.empty() || heap_.front().due > now || heap_.front().sequence >= mark) return {};
  return remove(0);
}

std::function<void()> TimerQueue::remove(std::uint32_t place) {
  const std::uint32_t slot = heap_[place].slot;
  std::function<void()> work = std::exchange(slots_[slot].work, nullptr);
  // The generation outlives the timer, so a stale id never names the slot's next timer. It skips 0,
  // because the id 0 is no timer.
  if (++slots_[slot].generation == 0) slots_[slot].generation = 1;
  free_slots_.push_back(slot);

  const Entry last = heap_.back();
  heap_.pop_back();
  if (place < heap_.size()) {
    put(place, last);
    sift_down(place);
    sift_up(place);
  }
  return work;
}

void TimerQueue::put(std::uint32_t place, const Entry& entry) {
  heap_[place] = entry;
  slots_[entry.slot].place = place;
}

void TimerQueue::sift_up(std::uint32_t place) {
  const Entry entry = heap_[place];
  while (place > 0) {
    const std::uint32_t parent = (place - 1) / 2;
    if (!entry.is_before(heap_[parent])) break;
    put(place, heap_[parent]);
    place = parent;
  }
  put(place, entry);
}

void TimerQueue::sift_down(std::uint32_t place) {
  const Entry entry = heap_[place];
  for (;;) {
    std::uint32_t child = 2 * place + 1;
    if (child >= heap_.size()) break;
    if (child + 1 < heap_.size() && heap_[child + 1].is_before(heap_[child])) ++child;
    if (!heap_[child].is_before(entry)) break;
    put(place, heap_[child]);
    place = child;
  }
  put(place, entry);
}

}  // namespace staithe::net
