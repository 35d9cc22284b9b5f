#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>

#include "wire/method.h"

namespace staithe::wire {

// gRPC's health checking protocol (https://github.com/grpc/grpc/blob/master/doc/health-checking.md)
// for all services of a table at once: they start and stop together. Public, since a prober has no
// token. Outlives the calls. Any thread.
class HealthService {
 public:
  HealthService() = default;
  HealthService(const HealthService&) = delete;
  HealthService& operator=(const HealthService&) = delete;

  // Adds its methods, and answers for the services that `table` has by then and for itself.
  void add_to(MethodTable& table);
  // Not serving before it is told to. Whoever watches hears of it; when serving is over, so is
  // watching, because an open stream would keep a draining server.
  void set_serving(bool is_serving);

 private:
  class Watch;
  enum class State : std::uint8_t { serving, not_serving, unknown };

  State state_of(const std::string& service) const;
  State add_watcher(const std::string& service, std::shared_ptr<AnswerStream> answers);
  Outcome check(const std::string& service) const;
  Outcome list() const;
  static void send(AnswerStream& answers, State state);

  std::set<std::string> services_;  // set before the first call
  mutable std::mutex mutex_;        // guards what follows
  bool is_serving_ = false;
  std::map<std::shared_ptr<AnswerStream>, State> watchers_;  // and what they were told
};

}  // namespace staithe::wire
