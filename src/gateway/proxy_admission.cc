#include "gateway/proxy_exchange.h"

#include <memory>
#include <utility>
#include <variant>

#include "auth/token.h"
#include "gateway/model_list.h"

// Whether a request may come in: its gateway, its caller, and what it asks for.

namespace staithe::gateway {

void ProxyExchange::start(const net::RequestHead& head) {
  const Located located = locate(*request_->table, head);
  if (located.gateway == nullptr) {
    return refuse(errors::not_found("There is no such gateway on this server."));
  }
  const ServedGateway& served = *located.gateway;
  request_->gateway = &served;
  counters_ = served.undecided;
  if (!served.may_come_from(exchange_.peer_address())) return refuse(errors::source_not_allowed());
  if (gateway_.options_.cors.is_on() && is_preflight(head)) return answer_preflight(head);
  if (is_health_check(head, located.target)) return answer(R"({"status":"ok"})");
  if (served.auth == AuthKind::weights_and_biases) return ask_whose_key(head, located.target);
  if (const auto error = admit(head)) return refuse(*error);
  proceed(head, located.target);
}

// The caller may use the gateway. `target` is what the head's is below it.
void ProxyExchange::proceed(const net::RequestHead& head, std::string_view target) {
  const ServedGateway& served = *request_->gateway;
  RequestPlan plan = plan_request(served, head, target);
  if (const auto* error = std::get_if<ApiError>(&plan)) return refuse(*error);
  const ModelCards& cards = gateway_.model_cards_;
  if (const auto* list = std::get_if<ListModels>(&plan)) {
    if (list->only == nullptr && cards.is_empty()) return answer(served.model_list);
    const auto extras_of = [&cards](const ServedModel& model) { return cards.extras(model); };
    return answer(draw_model_list(served, extras_of, list->only));
  }
  if (const auto* show = std::get_if<ShowModel>(&plan)) {
    return answer(draw_model(served, *show->model, cards.extras(*show->model)));
  }
  start_forward(head, std::get<Forward>(std::move(plan)));
}

// Why this caller may not use this gateway.
std::optional<ApiError> ProxyExchange::admit(const net::RequestHead& head) {
  const ServedGateway& served = *request_->gateway;
  const auto authorization = head.headers.find("authorization");
  auto principal = authorization
                       ? gateway_.tokens_.authenticate(*authorization, gateway_.clock_.now())
                       : std::nullopt;
  if (!principal) return errors::unauthorized();
  if (principal->organization != served.organization) return errors::other_organization();
  request_->caller = {.organization = std::move(principal->organization),
                      .token_id = std::move(principal->token_id)};
  return std::nullopt;
}

ProxyExchange::KeptHead::KeptHead(const net::RequestHead& head)
    : method(head.method), target(head.target), headers(head.headers), view(head) {
  view.method = method;
  view.target = target;
  view.headers = headers.list();
}

void ProxyExchange::ask_whose_key(const net::RequestHead& head, std::string_view target) {
  WandbKeys* const keys = gateway_.options_.wandb_keys;
  if (keys == nullptr) return refuse(errors::keys_not_verifiable());
  const auto key = auth::bearer_token(head.headers.find("authorization").value_or(""));
  if (!key) return refuse(errors::invalid_wandb_key());
  self_ = std::make_shared<ProxyExchange*>(this);
  auto found = keys->find(
      *key, [&loop = exchange_.loop(), self = std::weak_ptr(self_)](const KeyAnswer& answer) {
        loop.post([self, answer] {
          if (const auto exchange = self.lock()) (*exchange)->take_owner(answer);
        });
      });
  if (const auto* answer = std::get_if<KeyAnswer>(&found)) {
    if (const auto error = admit_owner(*answer)) return refuse(*error);
    return proceed(head, target);
  }
  key_wait_ = std::get<WandbKeys::WaitHandle>(std::move(found));
  kept_head_ = std::make_unique<KeptHead>(head);
  enter(Phase::auth);
  exchange_.pause_body();
}

std::optional<ApiError> ProxyExchange::admit_owner(const KeyAnswer& answer) {
  switch (answer.verdict) {
    case KeyAnswer::Verdict::valid:
      // Whoever has a key is a caller of the gateway's organization.
      request_->caller = {.organization = request_->gateway->organization,
                          .token_id = "wandb:" + answer.entity};
      return std::nullopt;
    case KeyAnswer::Verdict::invalid:
      return errors::invalid_wandb_key();
    case KeyAnswer::Verdict::unknown:
      break;
  }
  return errors::wandb_unreachable();
}

void ProxyExchange::take_owner(const KeyAnswer& answer) {
  if (phase_ != Phase::auth) return;
  enter(Phase::receiving);
  const std::unique_ptr<KeptHead> head = std::move(kept_head_);
  if (const auto error = admit_owner(answer)) return refuse(*error);
  proceed(head->view, locate(*request_->table, head->view).target);
  if (phase_ != Phase::receiving) return;
  if (is_request_whole_) return on_request_end();
  exchange_.resume_body();
}

}  // namespace staithe::gateway
