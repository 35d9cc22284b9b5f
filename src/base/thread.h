#pragma once

#include <functional>
#include <string>
#include <thread>

namespace staithe {

// A named thread that is joined when it goes. The one place that makes threads.
class Thread {
 public:
  Thread() = default;
  // `name` shows in debuggers and /proc; the kernel keeps 15 characters of it.
  Thread(const std::string& name, std::function<void()> body);
  Thread(Thread&&) = default;
  Thread& operator=(Thread&&) = default;
  void join();
  bool is_running() const { return thread_.joinable(); }

 private:
  std::jthread thread_;
};

}  // namespace staithe
