#include <malloc.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <iostream>
#include <string>
#include <vector>

#include "app/config.h"
#include "app/serve.h"
#include "app/token_command.h"
#include "cli/client_command.h"
#include "engine/engine_command.h"

extern char** environ;

namespace staithe::app {
namespace {

constexpr const char* usage = R"(usage: staithe COMMAND ...

  serve                              serve the API, the gateways and the reconcilers; --emulate needs no hardware
  claim|gateway|deployment           list, get, create, update, delete, wait: a client of the API
  deployment explain NAME            why it has the replicas it has, and what it waits for
  plan -f FILE                       what creating or updating a claim or deployment would do
  node                               list, get, join, drain, resume, remove the machines
  usage                              who used how many requests and tokens
  limit                              list, get, set, delete how much organizations and tokens may use
  token                              create, list, revoke
  engine simulate                    a simulated engine, as a process

staithe COMMAND --help says more.
)";

Environment read_environment() {
  Environment environment;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string text = *entry;
    const auto equals = text.find('=');
    if (equals != std::string::npos) environment[text.substr(0, equals)] = text.substr(equals + 1);
  }
  return environment;
}

// The path of this very file, by which engines of ours are started.
std::string own_path() {
  std::array<char, 4096> path{};
  const ssize_t size = readlink("/proc/self/exe", path.data(), path.size());
  return size > 0 ? std::string(path.data(), static_cast<std::size_t>(size))
                  : std::string("staithe");
}

// Prompts of some hundred KiB come and go all the time. With what malloc does by default each of
// them is mapped or the heap trimmed anew, at a page fault for every 4 KiB (mallopt(3)).
void keep_memory_for_next_request() {
  constexpr int bytes = 1024 * 1024;
  mallopt(M_MMAP_THRESHOLD, bytes);
  mallopt(M_TRIM_THRESHOLD, bytes);
}

int run_serve(const std::vector<std::string>& arguments, const Environment& environment) {
  keep_memory_for_next_request();
  Result<Config> config = read_config(arguments, environment);
  if (!config && config.error().code == Code::cancelled) {
    std::cout << config.error().message;
    return 0;
  }
  if (!config) {
    std::cerr << "staithe serve: " << config.error().message << '\n';
    return 2;
  }
  return serve(*std::move(config), own_path(), environment);
}

int run(const std::vector<std::string>& arguments) {
  const std::string command = arguments.empty() ? std::string{} : arguments.front();
  const Environment environment = read_environment();
  if (command == "serve") return run_serve({arguments.begin() + 1, arguments.end()}, environment);
  if (command == "token") {
    return run_token_command({arguments.begin() + 1, arguments.end()}, environment, std::cout,
                             std::cerr);
  }
  if (command == "engine") {
    return engine::run_engine_command({arguments.begin() + 1, arguments.end()}, std::cout,
                                      std::cerr);
  }
  if (cli::is_client_command(command)) {
    return cli::run_client_command(arguments, environment, std::cout, std::cerr);
  }
  if (command == "--help" || command == "-h" || command == "help") {
    std::cout << usage;
    return 0;
  }
  if (command.empty()) {
    std::cerr << usage;
  } else {
    std::cerr << "staithe: there is no command \"" << command << "\"; see staithe --help\n";
  }
  return 2;
}

}  // namespace
}  // namespace staithe::app

int main(int argc, char** argv) {
  return staithe::app::run(std::vector<std::string>(argv + 1, argv + argc));
}
