// The server under test of the Connect project's conformance suite: our transport and wire code
// around the suite's own service. It is told what to be on standard input, tells on standard output
// where it serves, and leaves on SIGTERM.
#include <fmt/format.h>
#include <signal.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "auth/token_record.h"
#include "auth/token_table.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/metrics.h"
#include "base/random.h"
#include "base/thread.h"
#include "conformance/conformance_service.h"
#include "connectrpc/conformance/v1/server_compat.pb.h"
#include "net/event_loop.h"
#include "net/http_server.h"
#include "net/tls_context.h"
#include "wire/api_handler.h"

namespace staithe::tests {
namespace {

namespace pb = ::connectrpc::conformance::v1;

constexpr std::size_t default_message_bytes_max = 4 * 1024 * 1024;

// Messages of the suite are preceded by their length in four bytes, in network order.
pb::ServerCompatRequest read_request() {
  unsigned char head[4];
  CHECK(std::fread(head, 1, sizeof head, stdin) == sizeof head);
  std::string bytes(
      std::size_t{head[0]} << 24 | std::size_t{head[1]} << 16 | std::size_t{head[2]} << 8 | head[3],
      '\0');
  CHECK(std::fread(bytes.data(), 1, bytes.size(), stdin) == bytes.size());
  pb::ServerCompatRequest request;
  CHECK(request.ParseFromString(bytes));
  return request;
}

void write_response(const pb::ServerCompatResponse& response) {
  const std::string bytes = response.SerializeAsString();
  for (int shift = 24; shift >= 0; shift -= 8) {
    std::putchar(static_cast<int>(bytes.size() >> shift & 0xff));
  }
  std::fwrite(bytes.data(), 1, bytes.size(), stdout);
  std::fflush(stdout);
}

// Keeps the suite's credentials in files for as long as they are read.
class CredentialFiles {
 public:
  CredentialFiles() {
    std::string name = (std::filesystem::temp_directory_path() / "conformance-XXXXXX").string();
    CHECK(::mkdtemp(name.data()) != nullptr);
    folder_ = name;
  }
  ~CredentialFiles() { std::filesystem::remove_all(folder_); }
  CredentialFiles(const CredentialFiles&) = delete;
  CredentialFiles& operator=(const CredentialFiles&) = delete;

  std::string keep(const char* name, const std::string& text) const {
    const std::filesystem::path path = folder_ / name;
    std::ofstream(path) << text;
    return path.string();
  }

 private:
  std::filesystem::path folder_;
};

std::shared_ptr<const net::TlsContext> load_tls(const pb::ServerCompatRequest& request) {
  const CredentialFiles files;
  net::TlsFiles tls{.certificate = files.keep("cert.pem", request.server_creds().cert()),
                    .key = files.keep("key.pem", request.server_creds().key())};
  if (!request.client_tls_cert().empty()) {
    tls.client_ca = files.keep("clients.pem", request.client_tls_cert());
    tls.client_certificates = net::ClientCertificates::required;
  }
  auto context = net::TlsContext::load(tls);
  if (!context) std::fprintf(stderr, "%s\n", context.error().message.c_str());
  CHECK(context);
  return *std::move(context);
}

// Everybody is let in: the suite has no tokens, and our transport code serves nobody without one.
class OpenDoor final : public net::RequestRouter {
 public:
  OpenDoor(net::RequestRouter& inside, auth::TokenTable& tokens) : inside_(inside) {
    auto bootstrap = auth::parse_bootstrap_token("suite=cw0000:admin", Timestamp{});
    CHECK(bootstrap);
    tokens.replace(
        std::make_shared<auth::TokenSnapshot>(std::vector<auth::Token>{*std::move(bootstrap)}));
  }
  std::unique_ptr<net::ExchangeHandler> on_request(const net::RequestHead& head,
                                                   net::Exchange& exchange) override {
    net::RequestHead with_token = head;
    with_token.headers.add("authorization", "Bearer suite");
    return inside_.on_request(with_token, exchange);
  }

 private:
  net::RequestRouter& inside_;
};

int serve() {
  sigset_t stop;
  sigemptyset(&stop);
  sigaddset(&stop, SIGTERM);
  sigaddset(&stop, SIGINT);
  pthread_sigmask(SIG_BLOCK, &stop, nullptr);
  signal(SIGPIPE, SIG_IGN);

  const pb::ServerCompatRequest request = read_request();
  std::optional<net::TlsContextSlot> contexts;
  net::TlsPolicy policy;
  if (request.use_tls()) {
    contexts.emplace(load_tls(request));
    policy = {.speech = net::TlsPolicy::Speech::tls, .contexts = &*contexts};
  }

  SystemClock clock;
  SystemRandom random;
  Metrics metrics;
  auth::TokenTable tokens;
  net::EventLoop loop(clock);
  const wire::MethodTable methods = conformance_methods(loop);
  const wire::ApiOptions options{.body_bytes_max = request.message_receive_limit() > 0
                                                       ? request.message_receive_limit()
                                                       : default_message_bytes_max};
  wire::ApiRouter api(methods, tokens, clock, random, options, metrics);
  OpenDoor router(api, tokens);
  auto listener = net::listen_on({.host = "127.0.0.1", .port = 0});
  CHECK(listener);
  const std::uint16_t port = listener->port;
  auto server = std::make_unique<net::HttpServer>(loop, router, *std::move(listener),
                                                  net::ServerLimits{}, policy);
  Thread serving("loop", [&loop] { loop.run(); });

  pb::ServerCompatResponse response;
  response.set_host("127.0.0.1");
  response.set_port(port);
  if (request.use_tls()) response.set_pem_cert(request.server_creds().cert());
  write_response(response);

  int received = 0;
  sigwait(&stop, &received);
  loop.post([&] {
    server.reset();
    loop.post([&loop] { loop.stop(); });
  });
  serving.join();
  return 0;
}

}  // namespace
}  // namespace staithe::tests

int main() {
  return staithe::tests::serve();
}
