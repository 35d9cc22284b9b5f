#pragma once

#include <cstdint>
#include <random>
#include <string>

namespace staithe {

// The only source of chance.
class Random {
 public:
  virtual ~Random() = default;
  virtual std::uint64_t next() = 0;

  // Evenly from [0, bound); bound > 0.
  std::uint64_t below(std::uint64_t bound);
  // Evenly from [0, 1).
  double unit();
  // A UUID of version 4 (RFC 9562 section 5.4), lower case.
  std::string uuid();
};

// From the kernel's generator, fit for secrets. Any thread.
class SystemRandom final : public Random {
 public:
  std::uint64_t next() override;
};

// Repeats itself for equal seeds. One thread.
class SeededRandom final : public Random {
 public:
  explicit SeededRandom(std::uint64_t seed) : engine_(seed) {}
  std::uint64_t next() override { return engine_(); }

 private:
  std::mt19937_64 engine_;
};

}  // namespace staithe
