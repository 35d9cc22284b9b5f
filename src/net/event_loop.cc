#include "net/event_loop.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "base/check.h"
#include "net/timer_queue.h"

namespace staithe::net {
namespace {

constexpr std::size_t read_buffer_bytes = 64 * 1024;
constexpr std::size_t second_buffer_bytes = 96 * 1024;
constexpr std::size_t spare_texts_max = 64;
constexpr std::size_t spare_text_bytes_max = 4 * 1024;
constexpr int ready_per_turn_max = 256;

int wait_ms(Duration wait) {
  if (wait <= Duration::zero()) return 0;
  // Rounded up, because waking just before a timer is due would spin.
  const auto ms = std::chrono::ceil<std::chrono::milliseconds>(wait).count();
  return static_cast<int>(std::min<std::int64_t>(ms, 60'000));
}

}  // namespace

struct EventLoop::Impl {
  // By descriptor. The generation goes into epoll's event and changes with every watch, so that an
  // event gathered for a closed descriptor never reaches the handler of its number's next user.
  struct Watch {
    FdHandler* handler = nullptr;
    std::uint32_t generation = 0;
    std::uint32_t epoll_events = 0;
  };

  void wake() const {
    const std::uint64_t one = 1;
    // A full counter wakes the loop just as well.
    [[maybe_unused]] const auto written = ::write(wake_fd.get(), &one, sizeof one);
  }
  void control(int operation, int fd, const Watch& watch) const {
    epoll_event event{};
    event.events = watch.epoll_events;
    event.data.u64 = (std::uint64_t{watch.generation} << 32) | static_cast<std::uint32_t>(fd);
    const int outcome = ::epoll_ctl(epoll_fd.get(), operation, fd, &event);
    CHECK_THAT(outcome == 0, std::strerror(errno));
  }
  Watch& watch_of(int fd) {
    CHECK(fd >= 0 && static_cast<std::size_t>(fd) < watches.size());
    CHECK(watches[fd].handler != nullptr);
    return watches[fd];
  }

  UniqueFd epoll_fd{::epoll_create1(EPOLL_CLOEXEC)};
  UniqueFd wake_fd{::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
  std::vector<Watch> watches;
  std::array<epoll_event, ready_per_turn_max> ready{};
  TimerQueue timers;

  std::vector<std::function<void()>> turn_work;
  TurnWorkId first_turn_work = 1;  // the id of turn_work[0]
  std::vector<std::shared_ptr<void>> doomed;
  bool is_in_turn = false;
  std::unique_ptr<char[]> read_buffer = std::make_unique<char[]>(read_buffer_bytes);
  std::unique_ptr<char[]> second_buffer;
  std::vector<std::string> spare_texts;

  std::atomic<std::thread::id> thread{std::this_thread::get_id()};
  std::atomic<bool> is_stopping{false};
  std::mutex posted_mutex;  // guards posted
  std::vector<std::function<void()>> posted;
};

EventLoop::EventLoop(const Clock& clock)
    : clock_(clock), now_(clock.instant()), impl_(std::make_unique<Impl>()) {
  CHECK(impl_->epoll_fd.is_open() && impl_->wake_fd.is_open());
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = static_cast<std::uint32_t>(impl_->wake_fd.get());
  CHECK(::epoll_ctl(impl_->epoll_fd.get(), EPOLL_CTL_ADD, impl_->wake_fd.get(), &event) == 0);
}

EventLoop::~EventLoop() {
  // What is left may cancel timers and unwatch descriptors as it goes, so it goes while the loop is
  // whole.
  destroy_doomed();
  std::exchange(impl_->posted, {}).clear();
  std::exchange(impl_->turn_work, {}).clear();
  while (impl_->timers.size() > 0) impl_->timers.take_due(Instant::max(), ~std::uint64_t{0});
  destroy_doomed();
}

void EventLoop::run() {
  while (!impl_->is_stopping.load(std::memory_order_acquire)) run_once(Duration::max());
  impl_->is_stopping.store(false, std::memory_order_release);
}

void EventLoop::run_once(Duration wait_max) {
  impl_->thread.store(std::this_thread::get_id(), std::memory_order_relaxed);
  Duration wait = wait_max;
  if (const auto due = impl_->timers.next_due()) wait = std::min(wait, *due - clock_.instant());
  if (!impl_->turn_work.empty()) wait = Duration::zero();

  const int ready_count =
      ::epoll_wait(impl_->epoll_fd.get(), impl_->ready.data(), ready_per_turn_max, wait_ms(wait));
  CHECK_THAT(ready_count >= 0 || errno == EINTR, std::strerror(errno));
  now_ = clock_.instant();

  impl_->is_in_turn = true;
  dispatch_ready(std::max(ready_count, 0));
  run_due_timers();
  run_posted();
  run_turn_work();
  destroy_doomed();
  impl_->is_in_turn = false;
}

void EventLoop::dispatch_ready(int ready_count) {
  for (int i = 0; i < ready_count; ++i) {
    const epoll_event event = impl_->ready[i];
    const auto fd = static_cast<std::uint32_t>(event.data.u64);
    const auto generation = static_cast<std::uint32_t>(event.data.u64 >> 32);
    if (fd == static_cast<std::uint32_t>(impl_->wake_fd.get())) {
      std::uint64_t count = 0;
      [[maybe_unused]] const auto read = ::read(impl_->wake_fd.get(), &count, sizeof count);
      continue;
    }
    if (fd >= impl_->watches.size()) continue;
    const Impl::Watch& watch = impl_->watches[fd];
    if (watch.handler == nullptr || watch.generation != generation) continue;
    watch.handler->on_ready(event.events);
  }
}

void EventLoop::run_due_timers() {
  // Timers set by these timers wait for the next turn, so that a turn ends.
  const std::uint64_t mark = impl_->timers.mark();
  while (auto work = impl_->timers.take_due(now_, mark)) work();
}

void EventLoop::run_posted() {
  std::vector<std::function<void()>> batch;
  {
    const std::lock_guard lock(impl_->posted_mutex);
    batch.swap(impl_->posted);
  }
  for (auto& work : batch) std::exchange(work, nullptr)();
}

void EventLoop::run_turn_work() {
  for (std::size_t i = 0; i < impl_->turn_work.size(); ++i) {
    const std::function<void()> work = std::exchange(impl_->turn_work[i], nullptr);
    if (work) work();
  }
  impl_->first_turn_work += impl_->turn_work.size();
  impl_->turn_work.clear();
}

void EventLoop::destroy_doomed() {
  while (!impl_->doomed.empty()) {
    std::vector<std::shared_ptr<void>> batch;
    batch.swap(impl_->doomed);
    for (auto& object : batch) object.reset();  // in the order they were handed over
  }
}

void EventLoop::destroy_pending() {
  if (!impl_->is_in_turn) destroy_doomed();
}

void EventLoop::stop() {
  impl_->is_stopping.store(true, std::memory_order_release);
  impl_->wake();
}

void EventLoop::post(std::function<void()> work) {
  bool was_empty = false;
  {
    const std::lock_guard lock(impl_->posted_mutex);
    was_empty = impl_->posted.empty();
    impl_->posted.push_back(std::move(work));
  }
  if (was_empty) impl_->wake();
}

bool EventLoop::is_loop_thread() const {
  return impl_->thread.load(std::memory_order_relaxed) == std::this_thread::get_id();
}

TimerId EventLoop::run_after(Duration delay, std::function<void()> work) {
  delay = std::max(delay, Duration::zero());
  const Instant due = delay < Instant::max() - now_ ? now_ + delay : Instant::max();
  return impl_->timers.add(due, std::move(work));
}

void EventLoop::cancel(TimerId timer) {
  impl_->timers.cancel(timer);
}

void EventLoop::watch(int fd, std::uint32_t epoll_events, FdHandler& handler) {
  CHECK(fd >= 0);
  const auto index = static_cast<std::size_t>(fd);
  if (index >= impl_->watches.size()) impl_->watches.resize(index + 1);
  Impl::Watch& watch = impl_->watches[index];
  CHECK(watch.handler == nullptr);
  watch = {&handler, watch.generation + 1, epoll_events};
  impl_->control(EPOLL_CTL_ADD, fd, watch);
}

void EventLoop::rewatch(int fd, std::uint32_t epoll_events, FdHandler& handler) {
  Impl::Watch& watch = impl_->watch_of(fd);
  watch.handler = &handler;
  if (watch.epoll_events == epoll_events) return;
  watch.epoll_events = epoll_events;
  impl_->control(EPOLL_CTL_MOD, fd, watch);
}

void EventLoop::unwatch(int fd) {
  Impl::Watch& watch = impl_->watch_of(fd);
  watch.handler = nullptr;
  ++watch.generation;
  impl_->control(EPOLL_CTL_DEL, fd, watch);
}

TurnWorkId EventLoop::at_end_of_turn(std::function<void()> work) {
  impl_->turn_work.push_back(std::move(work));
  return impl_->first_turn_work + impl_->turn_work.size() - 1;
}

void EventLoop::cancel_turn_work(TurnWorkId work) {
  if (work < impl_->first_turn_work) return;
  const std::size_t index = work - impl_->first_turn_work;
  if (index < impl_->turn_work.size()) impl_->turn_work[index] = nullptr;
}

std::span<char> EventLoop::read_buffer() {
  return {impl_->read_buffer.get(), read_buffer_bytes};
}

std::string EventLoop::take_spare_text() {
  if (impl_->spare_texts.empty()) return {};
  std::string text = std::move(impl_->spare_texts.back());
  impl_->spare_texts.pop_back();
  return text;
}

void EventLoop::give_spare_text(std::string text) {
  const bool has_memory = text.capacity() > std::string().capacity();
  if (!has_memory || text.capacity() > spare_text_bytes_max) return;
  if (impl_->spare_texts.size() >= spare_texts_max) return;
  text.clear();
  impl_->spare_texts.push_back(std::move(text));
}

std::span<char> EventLoop::second_buffer() {
  std::unique_ptr<char[]>& buffer = impl_->second_buffer;
  if (buffer == nullptr) buffer = std::make_unique<char[]>(second_buffer_bytes);
  return {buffer.get(), second_buffer_bytes};
}

void EventLoop::destroy_later_impl(std::shared_ptr<void> object) {
  impl_->doomed.push_back(std::move(object));
}

}  // namespace staithe::net
