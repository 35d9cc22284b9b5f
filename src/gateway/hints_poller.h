#pragma once

#include <chrono>
#include <list>
#include <memory>
#include <string>

#include "gateway/route_table_slot.h"
#include "net/event_loop.h"
#include "net/http_client.h"

namespace staithe::gateway {

// Asks engines for their metrics, off the path of any request, and leaves what they say in the
// hints of their replicas. Only where there is a choice to be made and work to be balanced: of
// deployments with several replicas and requests in flight. Loops share the work by claims, so that
// an engine is asked once an interval whatever their number. One that does not answer, or tells
// nothing of use, is left alone for a while.
class HintsPoller {
 public:
  // An interval of 0 asks nobody.
  HintsPoller(net::EventLoop& loop, net::HttpClient& client, const RouteTableReader& reader,
              std::chrono::milliseconds interval);
  ~HintsPoller();
  HintsPoller(const HintsPoller&) = delete;
  HintsPoller& operator=(const HintsPoller&) = delete;

 private:
  class Poll;
  void tick();
  void ask(const ServedReplica& replica);

  net::EventLoop& loop_;
  net::HttpClient& client_;
  const RouteTableReader& reader_;
  const std::chrono::milliseconds interval_;
  net::TimerId timer_ = 0;
  std::list<std::unique_ptr<Poll>> polls_;
};

}  // namespace staithe::gateway
