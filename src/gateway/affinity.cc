#include "gateway/affinity.h"

#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <bit>

#include "base/check.h"

namespace staithe::gateway {
namespace {

constexpr std::size_t bytes_min = 16 * 1024;
constexpr unsigned stamp_bits = 64 - AffinityTable::stamp_spare_bits;
constexpr unsigned age_bits = 16;
constexpr std::uint64_t age_mask = (1u << age_bits) - 1;

// Words are shared by all loops. Each is right in itself, and no two need to agree.
std::uint64_t load(std::uint64_t& word) {
  return std::atomic_ref(word).load(std::memory_order_relaxed);
}
void store(std::uint64_t& word, std::uint64_t value) {
  std::atomic_ref(word).store(value, std::memory_order_relaxed);
}

// The tag of an unused line is 0, and that of a used one never is: hashes are not 0.
std::uint64_t tag_of(std::uint64_t hash) {
  return std::max<std::uint64_t>(hash >> age_bits, 1) << age_bits;
}
bool has_tag(std::uint64_t word, std::uint64_t hash) {
  return (word & ~age_mask) == tag_of(hash);
}

// Wraps after 18 hours, which makes one line or another look young that is not.
std::uint64_t seconds(Instant now) {
  return static_cast<std::uint64_t>(now.time_since_epoch() / std::chrono::seconds(1)) & age_mask;
}

std::uint64_t slot_of(std::uint32_t replica, std::uint64_t stamp) {
  return (std::uint64_t{replica} << stamp_bits) | (stamp & ((1ull << stamp_bits) - 1));
}
std::uint32_t replica_of(std::uint64_t slot) {
  return static_cast<std::uint32_t>(slot >> stamp_bits);
}
std::uint64_t stamp_of(std::uint64_t slot) {
  return slot & ((1ull << stamp_bits) - 1);
}

std::uint64_t* map_zeros(std::size_t size_bytes) {
  void* const words = ::mmap(nullptr, size_bytes, PROT_READ | PROT_WRITE,
                             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  CHECK(words != MAP_FAILED);
  ::madvise(words, size_bytes, MADV_HUGEPAGE);  // not everywhere, and not needed
  return static_cast<std::uint64_t*>(words);
}

}  // namespace

const AffinityTable::Holder* AffinityTable::Holders::find(std::uint32_t replica) const {
  for (const Holder& one : all()) {
    if (one.replica == replica) return &one;
  }
  return nullptr;
}

// Memory comes from the kernel as zeros, when it is used. Look-ups go all over it, so that large
// pages save much of what they cost.
AffinityTable::AffinityTable(std::size_t bytes_max)
    : line_count_(std::bit_floor(std::max(bytes_max, bytes_min)) / line_bytes),
      words_(map_zeros(size_bytes())) {}

AffinityTable::~AffinityTable() {
  ::munmap(words_, size_bytes());
}

// Lines go by pairs; a hash lives in either of its pair. The low bits choose, the high are the tag.
AffinityTable::Line AffinityTable::home(std::uint64_t hash) const {
  return words_ + (hash & (line_count_ - 1) & ~std::uint64_t{1}) * line_words;
}

AffinityTable::Line AffinityTable::seek(std::uint64_t hash) const {
  const Line first = home(hash);
  if (has_tag(load(first[0]), hash)) return first;
  const Line second = first + line_words;
  return has_tag(load(second[0]), hash) ? second : nullptr;
}

AffinityTable::Line AffinityTable::claim(std::uint64_t hash, Instant now) {
  const std::uint64_t tag = tag_of(hash) | seconds(now);
  if (const Line found = seek(hash)) {
    store(found[0], tag);
    return found;
  }
  const auto age = [now](Line line) {
    const std::uint64_t word = load(line[0]);
    return word == 0 ? age_mask + 1 : (seconds(now) - word) & age_mask;
  };
  const Line first = home(hash);
  const Line second = first + line_words;
  const Line victim = age(first) >= age(second) ? first : second;
  store(victim[0], tag);
  for (std::size_t i = 1; i < line_words; ++i) store(victim[i], 0);
  return victim;
}

AffinityTable::Holders AffinityTable::find(std::span<const std::uint64_t> hashes,
                                           std::size_t wanted) const {
  for (const std::uint64_t hash : hashes) __builtin_prefetch(home(hash));
  Line lines[64];
  std::size_t depth = 0;
  // Who has seen a prompt up to one mark has seen it up to all before: the first gap ends it.
  while (depth < std::min(hashes.size(), std::size(lines))) {
    const Line line = seek(hashes[depth]);
    if (line == nullptr) break;
    lines[depth++] = line;
  }
  Holders found;
  wanted = std::min(wanted, holders_max);
  for (; depth > 0; --depth) {
    for (std::size_t i = 1; i < line_words; ++i) {
      const std::uint64_t slot = load(lines[depth - 1][i]);
      if (slot == 0) break;
      if (found.find(replica_of(slot)) != nullptr) continue;
      if (found.count == wanted) return found;
      found.list[found.count++] = {.replica = replica_of(slot),
                                   .mark_count = static_cast<std::uint32_t>(depth),
                                   .stamp = stamp_of(slot)};
    }
    if (found.count == wanted) break;
  }
  return found;
}

void AffinityTable::touch_slot(Line line, std::uint32_t replica, std::uint64_t stamp) {
  std::size_t at = 1 + stamp % (line_words - 1);  // gives way when all are taken by others
  for (std::size_t i = 1; i < line_words; ++i) {
    const std::uint64_t slot = load(line[i]);
    if (slot == 0 || replica_of(slot) == replica) {
      at = i;
      break;
    }
  }
  store(line[at], slot_of(replica, stamp));
}

void AffinityTable::record(std::span<const std::uint64_t> hashes, std::uint32_t replica,
                           std::uint64_t stamp, Instant now) {
  for (const std::uint64_t hash : hashes) touch_slot(claim(hash, now), replica, stamp);
}

std::optional<std::uint32_t> AffinityTable::owner(std::uint64_t key) const {
  const Line line = seek(key);
  if (line == nullptr) return std::nullopt;
  return replica_of(load(line[1]));
}

void AffinityTable::set_owner(std::uint64_t key, std::uint32_t replica, Instant now) {
  store(claim(key, now)[1], slot_of(replica, 0));
}

}  // namespace staithe::gateway
