#include "gw/load.h"

#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstdio>

#include "gw/answer_check.h"
#include "gw/stream_plan.h"

namespace staithe::bench {
namespace {

constexpr std::string_view number_place = "000000000000";

std::string request_body(const LoadOptions& options) {
  std::string prompt = StreamPlan{options.chunk_count, options.interval_ms}.to_prompt();
  if (options.are_prompts_unique) prompt += number_place;
  prompt.resize(std::max(prompt.size(), options.prompt_bytes), 'p');
  nlohmann::ordered_json body{{"model", "bench"},
                              {"messages", {{{"role", "user"}, {"content", prompt}}}},
                              {"temperature", 0.7},
                              {"stream", options.chunk_count > 0}};
  if (options.chunk_count > 0) body["stream_options"] = {{"include_usage", true}};
  return body.dump();
}

std::int64_t microseconds(Duration duration) {
  return std::chrono::duration_cast<std::chrono::microseconds>(duration).count();
}

std::int64_t percentile(std::vector<std::int64_t>& values, double share) {
  if (values.empty()) return 0;
  const auto nth =
      values.begin() + static_cast<std::ptrdiff_t>(share * static_cast<double>(values.size() - 1));
  std::nth_element(values.begin(), nth, values.end());
  return *nth;
}

// The peers' connections are to be reused whatever the load, and whatever the framing of their
// answers.
constexpr net::HttpClient::Limits limits{.idle_connections_per_endpoint_max = 8192,
                                         .settle_after_chunked = {}};

}  // namespace

class Load::Request final : public net::ClientHandler {
 public:
  Request(Load& load, Instant due) : load_(load), due_(due), check_(make_check(load)) {
    net::ClientRequest request;
    request.method = "POST";
    request.target = load.options_.path;
    request.headers.add("Content-Type", "application/json");
    if (!load.options_.token.empty()) request.headers.add("Authorization", load.authorization_);
    const std::string& body = load.next_body();
    request.body = {net::BodyFraming::Kind::length, body.size()};
    exchange_ = load.client_.start(load.options_.target, request, {}, *this);
    exchange_->send_body(body);
    exchange_->finish_body();
  }

  void on_head(const net::ResponseHead& head) override { status_ = head.status; }
  void on_body(std::string_view bytes) override {
    const Instant now = load_.loop_.clock().instant();
    if (!has_begun_) load_.first_byte_us_.push_back(microseconds(now - due_));
    has_begun_ = true;
    check_->take(bytes, now);
  }
  void on_end() override {
    const bool is_good = status_ == 200 && check_->is_whole();
    if (!is_good)
      std::fprintf(stderr, "failed: status %u, or not what the upstream sent\n", status_);
    load_.finished(*this, is_good);
  }
  void on_failure(const net::ClientFailure& failure) override {
    std::fprintf(stderr, "failed: %s\n", failure.message.c_str());
    load_.finished(*this, false);
  }

 private:
  static std::unique_ptr<AnswerCheck> make_check(Load& load) {
    const std::uint64_t chunk_count = load.options_.chunk_count;
    if (load.options_.is_rewritten && chunk_count > 0)
      return std::make_unique<RewrittenAnswer>(" token", chunk_count);
    if (load.options_.is_rewritten) return std::make_unique<RewrittenAnswer>(unary_content, 1);
    if (chunk_count > 0) return std::make_unique<ExactStream>(chunk_count, load.chunk_us_);
    return std::make_unique<ExactText>();
  }

  Load& load_;
  Instant due_;
  std::unique_ptr<AnswerCheck> check_;
  unsigned status_ = 0;
  bool has_begun_ = false;
  std::unique_ptr<net::ClientExchange> exchange_;
};

Load::Load(net::EventLoop& loop, LoadOptions options)
    : loop_(loop),
      client_(loop, limits),
      options_(std::move(options)),
      body_(request_body(options_)),
      number_at_(body_.find(number_place)),
      authorization_("Bearer " + options_.token) {}

Load::~Load() {
  if (arrival_timer_.is_open()) loop_.unwatch(arrival_timer_.get());
}

void Load::start() {
  if (options_.rate == 0) {
    for (std::size_t i = 0; i < options_.connection_count; ++i) start_next_of_closed_loop();
    return;
  }
  arrival_timer_ = UniqueFd(::timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC));
  loop_.watch(arrival_timer_.get(), EPOLLIN, *this);
  next_arrival_ = loop_.clock().instant();
  wait_for_next_arrival();
}

void Load::wait_for_next_arrival() {
  const std::chrono::duration<double> gap{std::exponential_distribution<>{options_.rate}(random_)};
  next_arrival_ += std::chrono::duration_cast<Duration>(gap);
  const auto ns = std::chrono::nanoseconds(next_arrival_.time_since_epoch()).count();
  const ::itimerspec when{
      .it_interval = {}, .it_value = {.tv_sec = ns / 1'000'000'000, .tv_nsec = ns % 1'000'000'000}};
  ::timerfd_settime(arrival_timer_.get(), TFD_TIMER_ABSTIME, &when, nullptr);
}

void Load::on_ready(std::uint32_t /*epoll_events*/) {
  std::uint64_t expirations = 0;
  if (::read(arrival_timer_.get(), &expirations, sizeof expirations) < 0) return;
  if (started_count_ >= options_.request_count) return;
  start_request(next_arrival_);
  if (started_count_ < options_.request_count) wait_for_next_arrival();
}

void Load::start_next_of_closed_loop() {
  if (started_count_ < options_.request_count) start_request(loop_.clock().instant());
}

void Load::start_request(Instant due) {
  ++started_count_;
  auto request = std::make_unique<Request>(*this, due);
  running_.emplace(request.get(), std::move(request));
}

const std::string& Load::next_body() {
  if (options_.are_prompts_unique) {
    const std::string digits = std::to_string(started_count_);
    body_.replace(number_at_ + number_place.size() - digits.size(), digits.size(), digits);
  }
  return body_;
}

void Load::finished(Request& request, bool is_good) {
  ++(is_good ? done_count_ : failed_count_);
  const auto found = running_.find(&request);
  loop_.destroy_later(std::move(found->second));
  running_.erase(found);
  if (options_.rate == 0) loop_.post([this] { start_next_of_closed_loop(); });
}

std::string Load::report(Duration elapsed) {
  return nlohmann::json{{"done", done_count_},
                        {"failed", failed_count_},
                        {"chunks", done_count_ * options_.chunk_count},
                        {"seconds", std::chrono::duration<double>(elapsed).count()},
                        {"first_byte_p50_us", percentile(first_byte_us_, 0.5)},
                        {"first_byte_p99_us", percentile(first_byte_us_, 0.99)},
                        {"chunk_p50_us", percentile(chunk_us_, 0.5)},
                        {"chunk_p99_us", percentile(chunk_us_, 0.99)}}
      .dump();
}

}  // namespace staithe::bench
