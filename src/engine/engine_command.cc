#include "engine/engine_command.h"

#include <fmt/format.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <memory>

#include "base/unique_fd.h"
#include "engine/simulated_engine.h"
#include "net/http_server.h"

#include <sys/epoll.h>

namespace staithe::engine {
namespace {

// SIGTERM and SIGINT as an event of the loop.
class StopSignal final : public net::FdHandler {
 public:
  StopSignal(net::EventLoop& loop, std::function<void()> on_signal)
      : loop_(loop), on_signal_(std::move(on_signal)) {
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    pthread_sigmask(SIG_BLOCK, &signals, nullptr);
    fd_.reset(::signalfd(-1, &signals, SFD_NONBLOCK | SFD_CLOEXEC));
    loop_.watch(fd_.get(), EPOLLIN, *this);
  }
  ~StopSignal() override { loop_.unwatch(fd_.get()); }
  void on_ready(std::uint32_t) override {
    signalfd_siginfo info;
    while (::read(fd_.get(), &info, sizeof info) == static_cast<ssize_t>(sizeof info)) on_signal_();
  }

 private:
  net::EventLoop& loop_;
  std::function<void()> on_signal_;
  UniqueFd fd_;
};

int serve(const Options& options, const net::ListenAddress& address, std::ostream& out,
          std::ostream& err) {
  SystemClock clock;
  net::EventLoop loop(clock);
  auto listener = net::listen_on(address);
  if (!listener) {
    err << "staithe engine simulate: " << listener.error().message << '\n';
    return 1;
  }
  const std::uint16_t port = listener->port;
  SimulatedEngine engine(loop, clock, options);
  net::HttpServer server(loop, engine, std::move(*listener));
  int signal_count = 0;
  const StopSignal stop(loop, [&loop, &server, &signal_count] {
    // The second signal does not wait for open answers.
    if (++signal_count > 1) return loop.stop();
    server.drain([&loop] { loop.stop(); });
  });
  out << fmt::format("ready http://{}:{}", address.host, port) << std::endl;
  loop.run();
  return 0;
}

}  // namespace

int run_engine_command(const std::vector<std::string>& arguments, std::ostream& out,
                       std::ostream& err) {
  Options options;
  net::ListenAddress address{.host = "127.0.0.1", .port = 0};
  std::string fault = "none";
  std::string shape = "uniform";
  std::int64_t load_delay_ms = 0;
  CLI::App app{"Engines that need no model."};
  app.name("staithe engine");
  app.require_subcommand(1);
  CLI::App* simulate =
      app.add_subcommand("simulate", "a vLLM-like engine with drawn texts and latencies");
  simulate->add_option("--host", address.host, "IP address to listen on")->capture_default_str();
  simulate->add_option("--port", address.port, "port; 0 takes a free one")->capture_default_str();
  simulate->add_option("--model", options.model, "name it serves")->capture_default_str();
  simulate->add_option("--seed", options.seed, "of texts and latencies")->capture_default_str();
  simulate->add_option("--ttft-ms", options.time_to_first_token.mean_ms, "time to first token")
      ->capture_default_str();
  simulate->add_option("--ttft-jitter-ms", options.time_to_first_token.jitter_ms)
      ->capture_default_str();
  simulate->add_option("--itl-ms", options.inter_token.mean_ms, "time between tokens")
      ->capture_default_str();
  simulate->add_option("--itl-jitter-ms", options.inter_token.jitter_ms)->capture_default_str();
  simulate->add_option("--latency-shape", shape)
      ->check(CLI::IsMember({"uniform", "lognormal"}))
      ->capture_default_str();
  simulate->add_option("--tokens", options.tokens_default, "length of an answer that names none")
      ->capture_default_str();
  simulate->add_option("--max-model-len", options.context_tokens_max, "tokens of prompt and answer")
      ->capture_default_str();
  simulate->add_option("--max-num-seqs", options.running_max, "requests that run at once")
      ->capture_default_str();
  simulate->add_option("--kv-cache-tokens", options.kv_cache_tokens)->capture_default_str();
  simulate->add_option("--load-delay-ms", load_delay_ms, "time until it is loaded")
      ->capture_default_str();
  simulate
      ->add_option("--fault", fault,
                   "misbehaviour of every request; the header x-simulate-fault names one's own")
      ->capture_default_str();
  try {
    app.parse(std::vector<std::string>(arguments.rbegin(), arguments.rend()));
  } catch (const CLI::CallForHelp&) {
    out << (simulate->parsed() ? simulate->help() : app.help());
    return 0;
  } catch (const CLI::ParseError& error) {
    err << "staithe engine: " << error.what() << "; see staithe engine simulate --help\n";
    return 2;
  }
  const auto parsed = parse_fault(fault);
  if (!parsed) {
    err << "staithe engine: --fault: " << parsed.error().message << '\n';
    return 2;
  }
  options.fault = *parsed;
  options.shape = shape == "uniform" ? LatencyShape::uniform : LatencyShape::lognormal;
  options.load_delay = std::chrono::milliseconds{load_delay_ms};
  return serve(options, address, out, err);
}

}  // namespace staithe::engine
