// The two ends of the gateway bench. bench/gw/run.py puts a peer between them and reads its CPU
// time.
//
//   gw_bench upstream [--port P] [--model NAME]
//   gw_bench load --target HOST:PORT --requests N --connections N         closed loop
//   gw_bench load --target HOST:PORT --requests N --rate R                open loop
//   gw_bench load … --chunks C --interval-ms I                            of streams
//   gw_bench hold --target HOST:PORT --connections N    opens streams, waits for a line on stdin

#include <CLI/CLI.hpp>

#include <cstdio>
#include <iostream>

#include "base/clock.h"
#include "gw/load.h"
#include "gw/upstream.h"
#include "net/http_server.h"

namespace staithe::bench {
namespace {

int fail(const Error& error) {
  std::fprintf(stderr, "gw_bench: %s\n", error.message.c_str());
  return 2;
}

int main_upstream(const std::string& model, std::uint16_t port) {
  SystemClock clock;
  net::EventLoop loop(clock);
  Upstream upstream(model);
  auto listener = net::listen_on({.host = "127.0.0.1", .port = port});
  if (!listener) return fail(listener.error());
  std::cout << "ready " << listener->port << std::endl;
  net::HttpServer server(loop, upstream, std::move(*listener));
  loop.run();
  return 0;
}

int main_load(const LoadOptions& options, bool is_hold) {
  SystemClock clock;
  net::EventLoop loop(clock);
  Load load(loop, options);
  const Instant started = clock.instant();
  load.start();
  if (is_hold) {
    while (load.streaming_count() < options.connection_count && !load.is_done()) {
      loop.run_once(std::chrono::milliseconds{100});
    }
    std::cout << "holding " << load.streaming_count() << std::endl;
    std::cin.get();
    return load.is_done() ? 1 : 0;
  }
  while (!load.is_done()) loop.run_once(std::chrono::milliseconds{100});
  std::cout << load.report(clock.instant() - started) << std::endl;
  return 0;
}

int run(int argc, char** argv) {
  CLI::App app{"The two ends of the gateway bench."};
  app.require_subcommand(1);
  std::string model = "bench";
  std::uint16_t port = 0;
  CLI::App* upstream = app.add_subcommand("upstream", "streams like an engine");
  upstream->add_option("--port", port);
  upstream->add_option("--model", model);

  LoadOptions options;
  std::string target;
  CLI::App* load = app.add_subcommand("load", "sends requests, prints a line of JSON");
  CLI::App* hold = app.add_subcommand("hold", "opens streams and waits for a line on stdin");
  for (CLI::App* command : {load, hold}) {
    command->add_option("--target", target)->required();
    command->add_option("--path", options.path);
    command->add_option("--token", options.token);
    command->add_option("--connections", options.connection_count);
    command->add_option("--requests", options.request_count);
    command->add_option("--rate", options.rate);
    command->add_option("--chunks", options.chunk_count);
    command->add_option("--interval-ms", options.interval_ms);
    command->add_option("--prompt-bytes", options.prompt_bytes);
    command->add_flag("--rewritten", options.is_rewritten);
  }
  CLI11_PARSE(app, argc, argv);
  if (upstream->parsed()) return main_upstream(model, port);
  const auto address = net::parse_listen_address(target);
  if (!address) return fail(address.error());
  options.target = {.host = address->host, .port = address->port};
  if (hold->parsed()) options.request_count = options.connection_count;
  return main_load(options, hold->parsed());
}

}  // namespace
}  // namespace staithe::bench

int main(int argc, char** argv) {
  return staithe::bench::run(argc, argv);
}
