#include "app/served_ports.h"

#include <fmt/format.h>

#include <algorithm>
#include <thread>
#include <utility>

#include "net/port_check.h"

namespace staithe::app {
namespace {

using Speech = net::TlsPolicy::Speech;

std::string url_host(const std::string& host) {
  if (host == "0.0.0.0") return "127.0.0.1";
  if (host == "::") return "[::1]";
  return host.find(':') == std::string::npos ? host : "[" + host + "]";
}

Result<void> add_port(ServedPorts& served, const std::string& where, net::TlsPolicy policy,
                      std::uint32_t listener_count) {
  TRY_ASSIGN(net::ListenAddress address, net::parse_listen_address(where));
  ServedPort port{.tls_policy = policy, .listeners = {}};
  for (std::uint32_t i = 0; i < listener_count; ++i) {
    TRY_ASSIGN(net::Listener listener, net::bind_to(address));
    address.port = listener.port;
    port.listeners.push_back(std::move(listener));
  }
  const std::string authority = fmt::format("{}:{}", url_host(address.host), address.port);
  if (policy.speech != Speech::tls) served.urls.push_back("http://" + authority);
  if (policy.speech != Speech::cleartext) served.urls.push_back("https://" + authority);
  served.ports.push_back(std::move(port));
  return {};
}

Result<void> check_port_is_free(const std::string& where) {
  TRY_ASSIGN(const net::ListenAddress address, net::parse_listen_address(where));
  return net::check_port_is_free(address);
}

}  // namespace

Result<ServedPorts> bind_to_ports(const Config& config, const net::TlsContextSlot* contexts) {
  const std::uint32_t loop_count = config.event_loops > 0
                                       ? config.event_loops
                                       : std::max(1u, std::thread::hardware_concurrency());
  const bool has_tls_port = !config.tls_listen.empty();
  Speech speech = Speech::cleartext;
  if (!config.cleartext) {
    speech = Speech::tls;
  } else if (contexts != nullptr && !has_tls_port) {
    speech = Speech::both;
  }
  ServedPorts served;
  TRY(add_port(served, config.listen, {speech, contexts}, loop_count));
  if (has_tls_port) TRY(add_port(served, config.tls_listen, {Speech::tls, contexts}, loop_count));
  return served;
}

Result<void> start_listening(const ServedPorts& served) {
  for (const ServedPort& port : served.ports) {
    for (const net::Listener& listener : port.listeners) TRY(net::start_listening(listener));
  }
  return {};
}

Result<ServedPorts> listen_on_ports(const Config& config, const net::TlsContextSlot* contexts) {
  TRY(check_port_is_free(config.listen));
  if (!config.tls_listen.empty()) TRY(check_port_is_free(config.tls_listen));
  TRY_ASSIGN(ServedPorts served, bind_to_ports(config, contexts));
  TRY(start_listening(served));
  return served;
}

}  // namespace staithe::app
