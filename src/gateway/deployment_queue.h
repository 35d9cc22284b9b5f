#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include "net/event_loop.h"

namespace staithe::gateway {

// The requests of one deployment that wait for a replica with room, on all loops. Callers take
// turns; the requests of one caller go in the order they came. Any thread.
//
// A replica's slot is free to whoever takes it, so a turn is only a call to try: whoever was called
// and found nothing goes back to where it was. While somebody waits, or was called and has not
// tried yet, newcomers stand in line too, so that nobody is overtaken.
//
// No wake-up is lost: who joins counts here first and looks for a free slot afterwards, and who
// frees a slot does so first and looks here afterwards.
class DeploymentQueue {
 public:
  enum class Turn : std::uint8_t {
    called,       // try now
    turned_away,  // for somebody of whom less is waiting; the place is lost
  };

  // A request's place. Goes when the request does; a turn that it had and did not use goes to the
  // next. Of one loop, and the only one whose thread may touch it.
  class Place {
   public:
    // For join() alone.
    Place(std::shared_ptr<DeploymentQueue> queue, std::string caller, net::EventLoop& loop,
          std::function<void(Turn)> on_turn);
    ~Place();
    Place(const Place&) = delete;
    Place& operator=(const Place&) = delete;

    // The slot was taken: the turn was used.
    void use_turn();
    // There was none: back to where it was.
    void wait_on();
    DeploymentQueue& queue() { return *queue_; }

   private:
    friend class DeploymentQueue;
    enum class State : std::uint8_t { waiting, called, out };
    const std::shared_ptr<DeploymentQueue> queue_;
    const std::string caller_;
    net::EventLoop& loop_;
    const std::function<void(Turn)> on_turn_;
    std::shared_ptr<Place*> self_;  // for turns that arrive when the place is gone
    // Guarded by the queue's mutex.
    State state_ = State::waiting;
    std::uint64_t number_ = 0;  // they are given out in order
  };

  // Asked for every request that could be sent, so it takes no lock.
  bool is_waited_in() const { return count_.load() > 0; }
  std::size_t size() const { return count_.load(); }

  // Stands in line; `on_turn` is called on the loop's later turns. Null if `length_max` already
  // wait, unless another caller has more there than this one would: then its last is turned away.
  static std::unique_ptr<Place> join(const std::shared_ptr<DeploymentQueue>& queue,
                                     std::string caller, std::size_t length_max,
                                     net::EventLoop& loop, std::function<void(Turn)> on_turn);

  // A slot may be free. Calls whose turn it is, if anybody waits who was not called.
  void call_next();

 private:
  struct Lane {
    std::string caller;
    std::deque<Place*> places;  // by number
  };
  using Lanes = std::list<Lane>;

  // With the mutex held.
  Lane& lane_of(const std::string& caller, Lanes::iterator before);
  void insert(Place& place, Lanes::iterator before);
  void remove(Place& place);
  void call_front();
  bool make_room_for(const std::string& caller);
  static void tell(Place& place, Turn turn);

  std::atomic<std::size_t> count_{0};  // of places that wait or were called
  std::mutex mutex_;                   // guards what follows
  Lanes lanes_;                        // those of callers who wait, in the order of their turns
  std::map<std::string, Lanes::iterator, std::less<>> by_caller_;
  std::uint64_t next_number_ = 0;
};

// The queues of all deployments by id. Any thread.
class QueueTable {
 public:
  // For route tables. One and the same as long as somebody keeps it.
  std::shared_ptr<DeploymentQueue> at(const std::string& deployment_id);
  void forget_unused();

 private:
  std::mutex mutex_;  // guards by_id_; requests never take it
  std::map<std::string, std::weak_ptr<DeploymentQueue>, std::less<>> by_id_;
};

}  // namespace staithe::gateway
