#include "app/wandb_client.h"

#include <fmt/format.h>

#include <utility>

#include "cli/api_client.h"
#include "net/blocking_client.h"

namespace staithe::app {
namespace {

// Each asks about one key at a time; answers take some hundred milliseconds.
constexpr std::size_t questions_max = 16;
constexpr std::size_t questions_waiting_max = 1024;
constexpr std::size_t answer_bytes_max = 64 * 1024;

std::string target_of(const std::string& url) {
  const auto path = url.find('/', url.find("://") + 3);
  return path == std::string::npos ? "/graphql" : url.substr(path);
}

}  // namespace

Result<std::unique_ptr<WandbClient>> WandbClient::open(const std::string& url,
                                                       std::chrono::milliseconds timeout,
                                                       const Log& log) {
  TRY_ASSIGN(cli::Server server, cli::parse_server(url));
  Endpoint endpoint{.host = std::move(server.host),
                    .port = server.port,
                    .target = target_of(url),
                    .tls = nullptr};
  if (server.is_secure) {
    TRY_ASSIGN(endpoint.tls, net::TlsClientContext::load(""));
  }
  return std::unique_ptr<WandbClient>(new WandbClient(std::move(endpoint), timeout, log));
}

WandbClient::WandbClient(Endpoint endpoint, std::chrono::milliseconds timeout, const Log& log)
    : endpoint_(std::move(endpoint)),
      timeout_(timeout),
      log_(log),
      workers_("wandb", questions_max, questions_waiting_max) {}

WandbClient::~WandbClient() {
  is_stopping_ = true;
}

void WandbClient::ask(std::string key, const gateway::WandbKeys::Done& done) {
  const bool is_queued = workers_.submit([this, key = std::move(key), done] {
    done(is_stopping_ ? gateway::KeyAnswer{} : send(key));
  });
  if (!is_queued) done({});
}

gateway::KeyAnswer WandbClient::send(const std::string& key) {
  net::BlockingRequest request;
  request.host = endpoint_.host;
  request.port = endpoint_.port;
  request.tls = endpoint_.tls;
  request.method = "POST";
  request.target = endpoint_.target;
  request.headers = {{"Content-Type", "application/json"},
                     {"Authorization", gateway::wandb_authorization(key)}};
  request.body = gateway::wandb_question();
  request.timeout = timeout_;
  request.answer_bytes_max = answer_bytes_max;
  const auto answer = net::send_blocking(request);
  if (!answer) {
    note(false, answer.error().message);
    return {};
  }
  gateway::KeyAnswer read = gateway::read_wandb_answer(answer->status, answer->body);
  const bool is_answering = read.verdict != gateway::KeyAnswer::Verdict::unknown;
  note(is_answering, fmt::format("it answered HTTP {}", answer->status));
  return read;
}

// Once for each change: a caller decides how often we ask.
void WandbClient::note(bool is_answering, std::string_view problem) {
  if (is_answering_.exchange(is_answering) == is_answering) return;
  if (is_answering) return log_.info("Weights & Biases answers again");
  log_.warning("Weights & Biases does not say whose a key is; keys it knew a day ago are taken",
               {{"error", problem}});
}

}  // namespace staithe::app
