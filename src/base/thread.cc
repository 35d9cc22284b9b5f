#include "base/thread.h"

#include <pthread.h>
#include <signal.h>

#include <utility>

namespace staithe {

Thread::Thread(const std::string& name, std::function<void()> body)
    : thread_([body = std::move(body)] { body(); }) {
  pthread_setname_np(thread_.native_handle(), name.substr(0, 15).c_str());
}

void Thread::join() {
  if (thread_.joinable()) thread_.join();
}

}  // namespace staithe
