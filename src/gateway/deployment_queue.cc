#include "gateway/deployment_queue.h"

#include <algorithm>
#include <utility>

namespace staithe::gateway {

DeploymentQueue::Place::Place(std::shared_ptr<DeploymentQueue> queue, std::string caller,
                              net::EventLoop& loop, std::function<void(Turn)> on_turn)
    : queue_(std::move(queue)),
      caller_(std::move(caller)),
      loop_(loop),
      on_turn_(std::move(on_turn)),
      self_(std::make_shared<Place*>(this)) {}

DeploymentQueue::Place::~Place() {
  const std::lock_guard lock(queue_->mutex_);
  if (state_ == State::out) return;
  if (state_ == State::waiting) queue_->remove(*this);
  if (state_ == State::called) queue_->call_front();
  queue_->count_.fetch_sub(1);
}

void DeploymentQueue::Place::use_turn() {
  const std::lock_guard lock(queue_->mutex_);
  if (state_ == State::out) return;
  if (state_ == State::waiting) queue_->remove(*this);
  state_ = State::out;
  queue_->count_.fetch_sub(1);
}

void DeploymentQueue::Place::wait_on() {
  const std::lock_guard lock(queue_->mutex_);
  if (state_ != State::called) return;
  state_ = State::waiting;
  queue_->insert(*this, queue_->lanes_.begin());
}

std::unique_ptr<DeploymentQueue::Place> DeploymentQueue::join(
    const std::shared_ptr<DeploymentQueue>& queue, std::string caller, std::size_t length_max,
    net::EventLoop& loop, std::function<void(Turn)> on_turn) {
  const std::lock_guard lock(queue->mutex_);
  if (queue->count_.load() >= length_max && !queue->make_room_for(caller)) return nullptr;
  auto place = std::make_unique<Place>(queue, std::move(caller), loop, std::move(on_turn));
  place->number_ = queue->next_number_++;
  queue->insert(*place, queue->lanes_.end());
  queue->count_.fetch_add(1);
  return place;
}

void DeploymentQueue::call_next() {
  const std::lock_guard lock(mutex_);
  call_front();
}

DeploymentQueue::Lane& DeploymentQueue::lane_of(const std::string& caller, Lanes::iterator before) {
  const auto found = by_caller_.find(caller);
  if (found != by_caller_.end()) return *found->second;
  const auto lane = lanes_.insert(before, Lane{.caller = caller, .places = {}});
  by_caller_.emplace(caller, lane);
  return *lane;
}

void DeploymentQueue::insert(Place& place, Lanes::iterator before) {
  auto& places = lane_of(place.caller_, before).places;
  const auto at = std::upper_bound(
      places.begin(), places.end(), &place,
      [](const Place* one, const Place* other) { return one->number_ < other->number_; });
  places.insert(at, &place);
}

void DeploymentQueue::remove(Place& place) {
  const auto found = by_caller_.find(place.caller_);
  Lane& lane = *found->second;
  std::erase(lane.places, &place);
  if (!lane.places.empty()) return;
  lanes_.erase(found->second);
  by_caller_.erase(found);
}

void DeploymentQueue::call_front() {
  if (lanes_.empty()) return;
  Place& place = *lanes_.front().places.front();
  lanes_.splice(lanes_.end(), lanes_, lanes_.begin());
  remove(place);
  place.state_ = Place::State::called;
  tell(place, Turn::called);
}

// Whoever has most in line gives up its last, unless that is no more than the newcomer would have.
bool DeploymentQueue::make_room_for(const std::string& caller) {
  const auto longest = std::max_element(
      lanes_.begin(), lanes_.end(),
      [](const Lane& one, const Lane& other) { return one.places.size() < other.places.size(); });
  if (longest == lanes_.end()) return false;
  const auto own = by_caller_.find(caller);
  const std::size_t own_size = own == by_caller_.end() ? 0 : own->second->places.size();
  if (longest->places.size() <= own_size + 1) return false;
  Place& last = *longest->places.back();
  remove(last);
  last.state_ = Place::State::out;
  count_.fetch_sub(1);
  tell(last, Turn::turned_away);
  return true;
}

void DeploymentQueue::tell(Place& place, Turn turn) {
  // The place lives and dies on its loop, so that it is there or gone for as long as this runs.
  place.loop_.post([self = std::weak_ptr(place.self_), turn] {
    const auto found = self.lock();
    if (found == nullptr) return;
    const auto on_turn = (*found)->on_turn_;  // which may be the end of the place
    on_turn(turn);
  });
}

std::shared_ptr<DeploymentQueue> QueueTable::at(const std::string& deployment_id) {
  const std::lock_guard lock(mutex_);
  std::weak_ptr<DeploymentQueue>& entry = by_id_[deployment_id];
  auto queue = entry.lock();
  if (queue == nullptr) {
    queue = std::make_shared<DeploymentQueue>();
    entry = queue;
  }
  return queue;
}

void QueueTable::forget_unused() {
  const std::lock_guard lock(mutex_);
  std::erase_if(by_id_, [](const auto& item) { return item.second.expired(); });
}

}  // namespace staithe::gateway
