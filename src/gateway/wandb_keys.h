#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <variant>
#include <vector>

#include "base/clock.h"
#include "base/metrics.h"

namespace staithe::gateway {

// What is known of a Weights & Biases API key.
struct KeyAnswer {
  enum class Verdict : std::uint8_t { valid, invalid, unknown };  // unknown: nobody could be asked
  Verdict verdict = Verdict::unknown;
  std::string entity;  // the user or team a valid key belongs to
  bool operator==(const KeyAnswer&) const = default;
};

// The question to W&B whose key it is, as the body of a POST to its GraphQL endpoint with the key
// as the password of the user "api" (https://docs.wandb.ai, and the public Python client).
std::string wandb_question();
std::string wandb_authorization(std::string_view key);
KeyAnswer read_wandb_answer(std::uint16_t status, std::string_view body);

// Whose keys they are, remembered for a while and asked for once at a time. Keys are kept as their
// hashes alone. While nobody can be asked, a key that was valid stays so. Any thread.
class WandbKeys {
 public:
  struct Options {
    std::chrono::milliseconds valid_for{300'000};
    std::chrono::milliseconds invalid_for{30'000};
    // A key that was valid before is asked for again after this while nobody answers, any other one
    // after the second.
    std::chrono::milliseconds asked_again_after{10'000};
    std::chrono::milliseconds unknown_for{1'000};
    std::chrono::milliseconds stale_max{86'400'000};  // beyond `valid_for`
    std::size_t keys_max = 10'000;
  };
  using Done = std::function<void(KeyAnswer)>;
  // Asks for a key and calls `done` once, now or later, on any thread.
  using Ask = std::function<void(std::string key, Done done)>;

  WandbKeys(const Clock& clock, Metrics& metrics, const Options& options, Ask ask);
  ~WandbKeys();
  WandbKeys(const WandbKeys&) = delete;
  WandbKeys& operator=(const WandbKeys&) = delete;

  // Somebody who waits for an answer. Once it is gone he is not called any more.
  class Wait {
   public:
    explicit Wait(Done done) : done_(std::move(done)) {}
    void call(const KeyAnswer& answer);
    void cancel();

   private:
    std::mutex mutex_;  // guards done_, and is held while it runs
    Done done_;
  };
  class WaitHandle {
   public:
    WaitHandle() = default;
    explicit WaitHandle(std::shared_ptr<Wait> wait) : wait_(std::move(wait)) {}
    WaitHandle(WaitHandle&&) = default;
    WaitHandle& operator=(WaitHandle&& other) noexcept;
    ~WaitHandle();

   private:
    std::shared_ptr<Wait> wait_;
  };

  // The answer if it is at hand; else `done` is called with it, on any thread, unless the handle is
  // gone before. It must be quick and must not call this object.
  std::variant<KeyAnswer, WaitHandle> find(std::string_view key, Done done);

 private:
  struct Entry {
    std::string hash;
    KeyAnswer answer;
    Instant fresh_until;
    Instant valid_at;  // when it was last found valid
    bool is_asked = false;
    std::vector<std::shared_ptr<Wait>> waiting;
  };
  using Entries = std::list<Entry>;  // the latest used first

  void take(const std::string& hash, KeyAnswer answer);
  void make_room();

  const Clock& clock_;
  const Options options_;
  Counter& valid_;
  Counter& invalid_;
  Counter& unknown_;
  std::mutex mutex_;  // guards what follows
  Entries entries_;
  std::unordered_map<std::string_view, Entries::iterator> by_hash_;
  // Answers that come after this object are nobody's.
  std::shared_ptr<std::pair<std::mutex, WandbKeys*>> self_;
  Ask ask_;
};

}  // namespace staithe::gateway
