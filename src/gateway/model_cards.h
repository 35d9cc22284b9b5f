#pragma once

#include <chrono>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "gateway/route_table_slot.h"
#include "net/event_loop.h"
#include "net/http_client.h"

namespace staithe::gateway {

// What an engine's GET /v1/models says of the model beyond what we say ourselves, as members of a
// JSON object with a comma before each: `,"max_model_len":4096`. Nothing if the answer is no such
// list or does not name the model.
std::optional<std::string> extra_members(std::string_view json, std::string_view model);

// Knows of each deployment what its engine says of its model: the length of its context, say. One
// replica of each is asked, off the path of any request, and another when that one is gone. One
// loop.
class ModelCards {
 public:
  // An interval of 0 asks nobody. `interval` is how soon news of replicas are followed.
  ModelCards(net::EventLoop& loop, net::HttpClient& client, const RouteTableReader& reader,
             std::chrono::milliseconds interval);
  ~ModelCards();
  ModelCards(const ModelCards&) = delete;
  ModelCards& operator=(const ModelCards&) = delete;

  bool is_empty() const { return cards_.empty(); }
  // Of the first of the model's deployments whose engine has told; empty: none has.
  std::string_view extras(const ServedModel& model) const;

 private:
  class Question;
  struct Card {
    std::string replica_id;  // who was asked
    std::string extras;
    Instant ask_again_at;  // if there was no answer
    bool is_answered = false;
    bool is_served = true;  // by the newest table
  };
  void tick();
  void look_at(const ServedDeployment& deployment, const std::string& model);

  net::EventLoop& loop_;
  net::HttpClient& client_;
  const RouteTableReader& reader_;
  const std::chrono::milliseconds interval_;
  net::TimerId timer_ = 0;
  StringMap<Card> cards_;  // by deployment
  std::list<std::unique_ptr<Question>> questions_;
};

}  // namespace staithe::gateway
