#include "gateway/hints_poller.h"

#include <algorithm>
#include <string_view>

namespace staithe::gateway {
namespace {

constexpr std::chrono::seconds rest_after_failure{30};
constexpr std::size_t polls_max = 64;  // at once, of one loop
constexpr std::size_t metrics_bytes_max = 4 * 1024 * 1024;
constexpr net::ClientTimeouts timeouts{.connect = std::chrono::seconds(1),
                                       .first_byte = std::chrono::seconds(2),
                                       .idle = std::chrono::seconds(2)};

bool is_worth_asking(const ServedDeployment& deployment) {
  return deployment.replicas.size() > 1 &&
         std::any_of(deployment.replicas.begin(), deployment.replicas.end(),
                     [](const ServedReplica& one) { return one.load->in_flight() > 0; });
}

}  // namespace

// One question under way.
class HintsPoller::Poll final : public net::ClientHandler {
 public:
  Poll(HintsPoller& poller, const ServedReplica& replica) : poller_(poller), load_(replica.load) {
    exchange_ = poller_.client_.start(
        replica.endpoint, {.method = "GET", .target = "/metrics", .body = {}}, timeouts, *this);
    exchange_->finish_body();
  }

  bool is_over() const { return is_over_; }

  void on_head(const net::ResponseHead& head) override { is_good_ = head.status == 200; }
  void on_body(std::string_view bytes) override {
    is_good_ = is_good_ && text_.size() + bytes.size() <= metrics_bytes_max;
    if (is_good_) text_ += bytes;
  }
  void on_end() override {
    const auto reading = is_good_ ? parse_engine_metrics(text_) : std::nullopt;
    const Instant now = poller_.loop_.now();
    if (reading) {
      load_->hints().update(*reading, now);
    } else {
      load_->hints().rest_until(now + rest_after_failure);
    }
    is_over_ = true;
  }
  void on_failure(const net::ClientFailure&) override {
    load_->hints().rest_until(poller_.loop_.now() + rest_after_failure);
    is_over_ = true;
  }

 private:
  HintsPoller& poller_;
  const std::shared_ptr<ReplicaLoad> load_;
  std::unique_ptr<net::ClientExchange> exchange_;
  std::string text_;
  bool is_good_ = false;
  bool is_over_ = false;
};

HintsPoller::HintsPoller(net::EventLoop& loop, net::HttpClient& client,
                         const RouteTableReader& reader, std::chrono::milliseconds interval)
    : loop_(loop), client_(client), reader_(reader), interval_(interval) {
  if (interval_.count() > 0) timer_ = loop_.run_after(interval_, [this] { tick(); });
}

HintsPoller::~HintsPoller() {
  loop_.cancel(timer_);
}

void HintsPoller::tick() {
  timer_ = loop_.run_after(interval_, [this] { tick(); });
  polls_.remove_if([](const auto& poll) { return poll->is_over(); });
  reader_.table()->for_each_deployment([this](const ServedDeployment& deployment) {
    if (!is_worth_asking(deployment)) return;
    for (const ServedReplica& replica : deployment.replicas) ask(replica);
  });
}

void HintsPoller::ask(const ServedReplica& replica) {
  if (polls_.size() >= polls_max) return;
  // Half an interval early is still this interval: loops do not tick together.
  if (!replica.load->hints().claim(loop_.now(), interval_ - interval_ / 2)) return;
  polls_.push_back(std::make_unique<Poll>(*this, replica));
}

}  // namespace staithe::gateway
