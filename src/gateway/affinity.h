#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "base/clock.h"

namespace staithe::gateway {

// Which replicas have seen which beginnings of prompts, in a table of fixed size that all loops
// read and write without a lock. Any thread.
//
// Everything in it is a hint: a race, a collision or an entry that gave way to another costs a
// wrong guess about a replica's cache and nothing else.
class AffinityTable {
 public:
  static constexpr std::size_t holders_max = 16;           // that one look-up tells of
  static constexpr std::uint32_t replicas_end = 1u << 24;  // replicas are numbers below this
  static constexpr unsigned stamp_spare_bits = 24;         // of 64: what stamps do not have

  // The memory it may take, at least 16 KiB. It is taken as it comes into use.
  explicit AffinityTable(std::size_t bytes_max);
  ~AffinityTable();
  AffinityTable(const AffinityTable&) = delete;
  AffinityTable& operator=(const AffinityTable&) = delete;

  // A replica and how many marks of the prompt it has seen. `stamp` is what was recorded with the
  // last of them.
  struct Holder {
    std::uint32_t replica = 0;
    std::uint32_t mark_count = 0;
    std::uint64_t stamp = 0;
  };
  struct Holders {
    std::span<const Holder> all() const { return {list, count}; }
    const Holder* find(std::uint32_t replica) const;

    Holder list[holders_max];
    std::size_t count = 0;
  };

  // The replicas that have seen most of a prompt with these hashes, longest first; no more than
  // `wanted`.
  Holders find(std::span<const std::uint64_t> hashes, std::size_t wanted) const;
  // The replica sees such a prompt now. Of the stamp the low 40 bits are kept.
  void record(std::span<const std::uint64_t> hashes, std::uint32_t replica, std::uint64_t stamp,
              Instant now);

  // For keys that one replica has at a time.
  std::optional<std::uint32_t> owner(std::uint64_t key) const;
  void set_owner(std::uint64_t key, std::uint32_t replica, Instant now);

  std::size_t size_bytes() const { return line_count_ * line_bytes; }

 private:
  static constexpr std::size_t line_bytes = 64;
  static constexpr std::size_t line_words = line_bytes / sizeof(std::uint64_t);
  // A line is a tag (48 bits of the hash, and when it was last touched) and seven slots (a replica
  // and its stamp).
  using Line = std::uint64_t*;

  Line home(std::uint64_t hash) const;
  Line seek(std::uint64_t hash) const;          // null: not there
  Line claim(std::uint64_t hash, Instant now);  // there, or in the place of the older
  static void touch_slot(Line line, std::uint32_t replica, std::uint64_t stamp);

  const std::size_t line_count_;
  std::uint64_t* const words_;
};

}  // namespace staithe::gateway
