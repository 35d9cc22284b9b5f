#include "gateway/model_cards.h"

#include <simdjson.h>

#include <algorithm>
#include <array>
#include <utility>

#include "base/encoding.h"

namespace staithe::gateway {
namespace {

namespace dom = simdjson::dom;

constexpr std::chrono::seconds rest_after_failure{30};
constexpr std::size_t questions_max = 64;  // at once, of one loop
constexpr std::size_t answer_bytes_max = 1024 * 1024;
constexpr std::size_t extras_bytes_max = 16 * 1024;
constexpr net::ClientTimeouts timeouts{.connect = std::chrono::seconds(1),
                                       .first_byte = std::chrono::seconds(5),
                                       .idle = std::chrono::seconds(5)};

// What we say ourselves, and `root`, by which engines mean a path on their own machine.
bool is_left_out(std::string_view key) {
  constexpr std::array<std::string_view, 5> keys = {"id", "object", "created", "owned_by", "root"};
  return std::find(keys.begin(), keys.end(), key) != keys.end();
}

bool has_replica(const ServedDeployment& deployment, std::string_view id) {
  return std::any_of(deployment.replicas.begin(), deployment.replicas.end(),
                     [id](const ServedReplica& one) { return one.load->id() == id; });
}

}  // namespace

std::optional<std::string> extra_members(std::string_view json, std::string_view model) {
  dom::parser parser;
  dom::array entries;
  if (parser.parse(json.data(), json.size())["data"].get(entries) != simdjson::SUCCESS) {
    return std::nullopt;
  }
  for (const dom::element entry : entries) {
    dom::object members;
    std::string_view id;
    if (entry.get(members) != simdjson::SUCCESS) continue;
    if (members["id"].get(id) != simdjson::SUCCESS || id != model) continue;
    std::string extras;
    for (const auto [key, value] : members) {
      if (is_left_out(key)) continue;
      extras += "," + json_quote(key) + ":" + simdjson::minify(value);
    }
    return extras.size() <= extras_bytes_max ? std::optional(std::move(extras)) : std::nullopt;
  }
  return std::nullopt;
}

// One question under way.
class ModelCards::Question final : public net::ClientHandler {
 public:
  Question(ModelCards& cards, const ServedReplica& replica, std::string deployment_id,
           std::string model)
      : cards_(cards), deployment_id_(std::move(deployment_id)), model_(std::move(model)) {
    exchange_ = cards_.client_.start(
        replica.endpoint, {.method = "GET", .target = "/v1/models", .body = {}}, timeouts, *this);
    exchange_->finish_body();
  }

  bool is_over() const { return is_over_; }

  void on_head(const net::ResponseHead& head) override { is_good_ = head.status == 200; }
  void on_body(std::string_view bytes) override {
    is_good_ = is_good_ && text_.size() + bytes.size() <= answer_bytes_max;
    if (is_good_) text_ += bytes;
  }
  void on_end() override {
    is_over_ = true;
    auto extras = is_good_ ? extra_members(text_, model_) : std::nullopt;
    const auto card = cards_.cards_.find(deployment_id_);
    if (!extras || card == cards_.cards_.end()) return;
    card->second.extras = *std::move(extras);
    card->second.is_answered = true;
  }
  void on_failure(const net::ClientFailure&) override { is_over_ = true; }

 private:
  ModelCards& cards_;
  const std::string deployment_id_;
  const std::string model_;
  std::unique_ptr<net::ClientExchange> exchange_;
  std::string text_;
  bool is_good_ = false;
  bool is_over_ = false;
};

ModelCards::ModelCards(net::EventLoop& loop, net::HttpClient& client,
                       const RouteTableReader& reader, std::chrono::milliseconds interval)
    : loop_(loop), client_(client), reader_(reader), interval_(interval) {
  if (interval_.count() > 0) timer_ = loop_.run_after(interval_, [this] { tick(); });
}

ModelCards::~ModelCards() {
  loop_.cancel(timer_);
}

std::string_view ModelCards::extras(const ServedModel& model) const {
  for (const ServedDeployment& deployment : model.deployments) {
    const auto card = cards_.find(deployment.id);
    if (card != cards_.end() && card->second.is_answered) return card->second.extras;
  }
  return {};
}

void ModelCards::tick() {
  timer_ = loop_.run_after(interval_, [this] { tick(); });
  questions_.remove_if([](const auto& question) { return question->is_over(); });
  for (auto& [id, card] : cards_) card.is_served = false;
  reader_.table()->for_each_model([this](const ServedModel& model) {
    for (const ServedDeployment& deployment : model.deployments) look_at(deployment, model.name);
  });
  std::erase_if(cards_, [](const auto& item) { return !item.second.is_served; });
}

void ModelCards::look_at(const ServedDeployment& deployment, const std::string& model) {
  const auto known = cards_.find(deployment.id);
  if (known != cards_.end()) known->second.is_served = true;
  if (deployment.replicas.empty() || questions_.size() >= questions_max) return;
  Card& card = known != cards_.end() ? known->second : cards_[deployment.id];
  const bool is_asked = has_replica(deployment, card.replica_id);
  if (is_asked && (card.is_answered || loop_.now() < card.ask_again_at)) return;
  const ServedReplica& replica = deployment.replicas.front();
  card.replica_id = replica.load->id();
  card.ask_again_at = loop_.now() + rest_after_failure;
  // What its predecessor said holds until this one speaks.
  questions_.push_back(std::make_unique<Question>(*this, replica, deployment.id, model));
}

}  // namespace staithe::gateway
