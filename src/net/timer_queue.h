#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "base/clock.h"
#include "net/event_loop.h"

namespace staithe::net {

// Timers by due time, then by age: a binary heap whose entries know their place, so that adding and
// cancelling cost O(log n) and a cancelled timer holds nothing.
class TimerQueue {
 public:
  TimerId add(Instant due, std::function<void()> work);
  void cancel(TimerId timer);
  std::optional<Instant> next_due() const;
  std::size_t size() const { return heap_.size(); }

  // A mark between the timers added so far and those added later.
  std::uint64_t mark() const { return next_sequence_; }
  // The work of the first timer if it is due at `now` and older than `mark`; empty if it is not.
  std::function<void()> take_due(Instant now, std::uint64_t mark);

 private:
  struct Entry {
    Instant due;
    std::uint64_t sequence;
    std::uint32_t slot;
    bool is_before(const Entry& other) const {
      return due != other.due ? due < other.due : sequence < other.sequence;
    }
  };
  struct Slot {
    std::function<void()> work;
    std::uint32_t generation = 1;
    std::uint32_t place = 0;  // in heap_
  };

  std::function<void()> remove(std::uint32_t place);
  void put(std::uint32_t place, const Entry& entry);
  void sift_up(std::uint32_t place);
  void sift_down(std::uint32_t place);

  std::uint64_t next_sequence_ = 0;
  std::vector<Entry> heap_;
  std::vector<Slot> slots_;
  std::vector<std::uint32_t> free_slots_;
};

}  // namespace staithe::net
