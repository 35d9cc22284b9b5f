#include "runtime/local/probe.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

namespace staithe::runtime {

Probe::Probe(net::EventLoop& loop, net::HttpClient& client, std::chrono::milliseconds timeout)
    : loop_(loop), client_(client), timeout_(timeout) {}

Probe::~Probe() {
  cancel();
}

void Probe::run(const ProbeTarget& target, ProbeDepth depth, Done done) {
  cancel();
  target_ = target;
  done_ = std::move(done);
  is_models_next_ = depth == ProbeDepth::readiness && !target.models_path.empty();
  is_asking_models_ = false;
  // The client's own limits are per phase; an engine that drips bytes is cut off by this one.
  timer_ = loop_.run_after(timeout_, [this] {
    timer_ = 0;
    fail(fmt::format("did not answer within {} ms", timeout_.count()));
  });
  ask(target_.health_path);
}

void Probe::cancel() {
  loop_.cancel(std::exchange(timer_, 0));
  exchange_.reset();
  done_ = nullptr;
}

void Probe::ask(const std::string& path) {
  status_ = 0;
  body_.clear();
  net::ClientRequest request{.method = "GET", .target = path};
  request.headers.add("accept", "application/json");
  exchange_ = client_.start(target_.endpoint, request,
                            {.connect = timeout_, .first_byte = timeout_, .idle = timeout_}, *this);
  exchange_->finish_body();
}

void Probe::on_head(const net::ResponseHead& head) {
  status_ = head.status;
}

void Probe::on_body(std::string_view bytes) {
  constexpr std::size_t body_bytes_max = 1024 * 1024;
  if (!is_asking_models_) return;
  if (body_.size() + bytes.size() > body_bytes_max) {
    return fail("sent more than a list of models can be");
  }
  body_ += bytes;
}

void Probe::on_end() {
  constexpr std::uint16_t http_ok = 200;
  if (status_ != http_ok) return fail(fmt::format("answered {}", status_));
  if (is_models_next_) {
    is_models_next_ = false;
    is_asking_models_ = true;
    return ask(target_.models_path);
  }
  if (is_asking_models_ && !lists_model(body_, target_.model_name)) {
    return fail(fmt::format("does not list the model {}", target_.model_name));
  }
  finish({});
}

void Probe::on_failure(const net::ClientFailure& failure) {
  using Kind = net::ClientFailure::Kind;
  switch (failure.kind) {
    case Kind::connect_refused:
      return fail("refused the connection or cannot be reached");
    case Kind::connect_timeout:
      return fail("did not take the connection in time");
    case Kind::reset:
      return fail("closed the connection before its answer was whole");
    case Kind::protocol:
      return fail("does not speak HTTP/1.1");
    case Kind::first_byte_timeout:
    case Kind::idle_timeout:
      return fail(fmt::format("did not answer within {} ms", timeout_.count()));
  }
}

void Probe::fail(std::string_view what) {
  const net::Endpoint& endpoint = target_.endpoint;
  const bool is_ipv6 = endpoint.host.find(':') != std::string::npos;
  finish(Error{
      .code = Code::unavailable,
      .message = fmt::format("this server asked http://{}{}{}:{}{}, which {}", is_ipv6 ? "[" : "",
                             endpoint.host, is_ipv6 ? "]" : "", endpoint.port,
                             is_asking_models_ ? target_.models_path : target_.health_path, what)});
}

void Probe::finish(Result<void> outcome) {
  const auto done = std::move(done_);
  cancel();
  if (done != nullptr) done(std::move(outcome));
}

bool lists_model(std::string_view body, std::string_view model_name) {
  const auto json = nlohmann::json::parse(body, nullptr, false);
  if (!json.is_object() || !json.contains("data") || !json["data"].is_array()) return false;
  const auto& models = json["data"];
  return std::any_of(models.begin(), models.end(), [model_name](const auto& model) {
    return model.is_object() && model.contains("id") && model["id"].is_string() &&
           model["id"].template get_ref<const std::string&>() == model_name;
  });
}

}  // namespace staithe::runtime
