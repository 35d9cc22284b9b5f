#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "store/store.h"

namespace staithe::store {

// Who wants to be woken after a commit. Any thread.
class Subscribers {
 public:
  std::unique_ptr<Store::Subscription> subscribe(std::function<void()> wake);
  // Calls every wake that is still subscribed, with no lock held.
  void wake_all();

 private:
  class Entry;
  class Handle;

  std::mutex mutex_;  // guards entries_
  std::vector<std::weak_ptr<Entry>> entries_;
};

}  // namespace staithe::store
