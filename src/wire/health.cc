#include "wire/health.h"

#include <fmt/format.h>

#include <utility>

#include "grpc/health/v1/health.pb.h"

namespace staithe::wire {
namespace {

namespace pb = ::grpc::health::v1;

constexpr const char* service_name = "grpc.health.v1.Health";

Error shutting_down() {
  return {.code = Code::unavailable,
          .message = "the server is shutting down",
          .reason = "SHUTTING_DOWN"};
}

template <typename Request, typename Response>
Method method(const char* name) {
  Method line;
  line.service = service_name;
  line.name = name;
  line.is_public = true;
  line.request = &Request::default_instance();
  line.response = &Response::default_instance();
  return line;
}

}  // namespace

// One open Watch. It is among the watchers for as long as the call lives.
class HealthService::Watch final : public CallStream {
 public:
  Watch(HealthService& health, std::shared_ptr<AnswerStream> answers)
      : health_(health), answers_(std::move(answers)) {}
  ~Watch() override {
    const std::lock_guard lock(health_.mutex_);
    health_.watchers_.erase(answers_);
  }

  void on_message(MessagePtr message) override {
    service_ = static_cast<const pb::HealthCheckRequest&>(*message).service();
  }
  void on_end() override {
    const State state = health_.add_watcher(service_, answers_);
    send(*answers_, state);
    if (state == State::not_serving) answers_->end(shutting_down(), {});
  }

 private:
  HealthService& health_;
  const std::shared_ptr<AnswerStream> answers_;
  std::string service_;
};

void HealthService::add_to(MethodTable& table) {
  services_ = {"", service_name};
  for (const Method& method : table) services_.insert(method.service);

  auto check_line = method<pb::HealthCheckRequest, pb::HealthCheckResponse>("Check");
  check_line.handle = [this](Call, MessagePtr request, Reply reply) {
    reply(check(static_cast<const pb::HealthCheckRequest&>(*request).service()));
  };
  auto list_line = method<pb::HealthListRequest, pb::HealthListResponse>("List");
  list_line.handle = [this](Call, MessagePtr, Reply reply) { reply(list()); };
  auto watch_line = method<pb::HealthCheckRequest, pb::HealthCheckResponse>("Watch");
  watch_line.kind = Method::Kind::server_stream;
  watch_line.open = [this](Call, std::shared_ptr<AnswerStream> answers) {
    return std::make_unique<Watch>(*this, std::move(answers));
  };
  table.push_back(std::move(check_line));
  table.push_back(std::move(list_line));
  table.push_back(std::move(watch_line));
}

void HealthService::set_serving(bool is_serving) {
  std::map<std::shared_ptr<AnswerStream>, State> told;
  {
    const std::lock_guard lock(mutex_);
    if (std::exchange(is_serving_, is_serving) == is_serving || is_serving) return;
    told = std::exchange(watchers_, {});
  }
  for (const auto& [answers, state] : told) {
    if (state == State::serving) send(*answers, State::not_serving);
    answers->end(shutting_down(), {});
  }
}

// A service that is not here now will not come either, but its watcher is to wait for it.
HealthService::State HealthService::add_watcher(const std::string& service,
                                                std::shared_ptr<AnswerStream> answers) {
  const std::lock_guard lock(mutex_);
  if (!is_serving_) return State::not_serving;
  const State state = services_.contains(service) ? State::serving : State::unknown;
  watchers_.emplace(std::move(answers), state);
  return state;
}

HealthService::State HealthService::state_of(const std::string& service) const {
  if (!services_.contains(service)) return State::unknown;
  const std::lock_guard lock(mutex_);
  return is_serving_ ? State::serving : State::not_serving;
}

Outcome HealthService::check(const std::string& service) const {
  const State state = state_of(service);
  if (state == State::unknown) {
    return Error{.code = Code::not_found,
                 .message = fmt::format("the service {} is not here", service),
                 .reason = "UNKNOWN_SERVICE"};
  }
  auto response = std::make_unique<pb::HealthCheckResponse>();
  response->set_status(state == State::serving ? pb::HealthCheckResponse::SERVING
                                               : pb::HealthCheckResponse::NOT_SERVING);
  return MessagePtr(std::move(response));
}

Outcome HealthService::list() const {
  auto response = std::make_unique<pb::HealthListResponse>();
  for (const std::string& service : services_) {
    (*response->mutable_statuses())[service].set_status(state_of(service) == State::serving
                                                            ? pb::HealthCheckResponse::SERVING
                                                            : pb::HealthCheckResponse::NOT_SERVING);
  }
  return MessagePtr(std::move(response));
}

void HealthService::send(AnswerStream& answers, State state) {
  auto response = std::make_unique<pb::HealthCheckResponse>();
  switch (state) {
    case State::serving:
      response->set_status(pb::HealthCheckResponse::SERVING);
      break;
    case State::not_serving:
      response->set_status(pb::HealthCheckResponse::NOT_SERVING);
      break;
    case State::unknown:
      response->set_status(pb::HealthCheckResponse::SERVICE_UNKNOWN);
      break;
  }
  answers.send(std::move(response));
}

}  // namespace staithe::wire
