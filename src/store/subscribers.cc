#include "store/subscribers.h"

#include <algorithm>
#include <condition_variable>
#include <cstddef>
#include <utility>

namespace staithe::store {

class Subscribers::Entry {
 public:
  explicit Entry(std::function<void()> wake) : wake_(std::move(wake)) {}

  void wake() {
    {
      const std::lock_guard lock(mutex_);
      if (is_closed_) return;
      ++running_count_;
    }
    wake_();
    // Notified under the lock: close() may return, and this entry go, once it is free.
    const std::lock_guard lock(mutex_);
    --running_count_;
    idle_.notify_all();
  }

  void close() {
    std::unique_lock lock(mutex_);
    is_closed_ = true;
    idle_.wait(lock, [this] { return running_count_ == 0; });
  }

 private:
  const std::function<void()> wake_;
  std::mutex mutex_;  // guards the rest; not held while wake_ runs
  std::condition_variable idle_;
  std::size_t running_count_ = 0;
  bool is_closed_ = false;
};

class Subscribers::Handle final : public Store::Subscription {
 public:
  explicit Handle(std::shared_ptr<Entry> entry) : entry_(std::move(entry)) {}
  ~Handle() override { entry_->close(); }

 private:
  const std::shared_ptr<Entry> entry_;
};

std::unique_ptr<Store::Subscription> Subscribers::subscribe(std::function<void()> wake) {
  auto entry = std::make_shared<Entry>(std::move(wake));
  const std::lock_guard lock(mutex_);
  std::erase_if(entries_, [](const std::weak_ptr<Entry>& known) { return known.expired(); });
  entries_.push_back(entry);
  return std::make_unique<Handle>(std::move(entry));
}

void Subscribers::wake_all() {
  std::vector<std::shared_ptr<Entry>> present;
  {
    const std::lock_guard lock(mutex_);
    for (const std::weak_ptr<Entry>& known : entries_) {
      if (auto entry = known.lock()) present.push_back(std::move(entry));
    }
  }
  for (const std::shared_ptr<Entry>& entry : present) entry->wake();
}

}  // namespace staithe::store
