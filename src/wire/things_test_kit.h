#pragma once

#include <set>
#include <string>

#include "coreweave/inference/v1alpha1/gateway.pb.h"
#include "wire/router_test_kit.h"

// What the tests of unary calls share.
namespace staithe::wire::testing {

using Text = ::coreweave::inference::v1alpha1::GetGatewayRequest;  // any message with one string

inline Text text(std::string value) {
  Text message;
  message.set_id(std::move(value));
  return message;
}

// One small service: it echoes, or holds its reply until the test gives it.
class ThingsTest : public RouterTest {
 protected:
  static constexpr std::size_t body_bytes_max = 64 * 1024;
  inline static const std::string rpc_path = "/test.v1.Things/";

  void serve(ApiOptions options = {}) {
    MethodTable table;
    const auto add = [&table](const char* name, const char* verb, const char* path) -> Method& {
      Method& method = table.emplace_back();
      method.service = "test.v1.Things";
      method.name = name;
      method.verb = verb;
      method.path = path;
      method.request = &Text::default_instance();
      method.response = &Text::default_instance();
      return method;
    };
    const auto echo = [this](Call call, MessagePtr request, Reply reply) {
      ++calls_;
      last_call_ = std::move(call);
      if (answer_id_) static_cast<Text&>(*request).set_id(*answer_id_);
      reply(Outcome(std::move(request)));
    };
    Method& get = add("Get", "GET", "/v1/things/{id}");
    get.role = auth::Role::viewer;
    get.handle = echo;
    add("Put", "POST", "/v1/things").handle = echo;
    add("About", "POST", "/v1/about").handle = echo;
    table.back().is_public = true;
    Method& slow = add("Slow", "POST", "/v1/slow");
    slow.role = auth::Role::viewer;
    slow.handle = [this](Call call, MessagePtr, Reply reply) {
      ++calls_;
      last_call_ = std::move(call);
      held_ = std::move(reply);
    };
    options.body_bytes_max = body_bytes_max;
    start(std::move(table), std::move(options));
  }

  const Http2Peer::Answer& ask(const std::string& verb, const std::string& path, Fields fields = {},
                               const std::string& body = {},
                               const std::string& token = "viewer-token") {
    if (!token.empty()) fields.emplace_back("authorization", "Bearer " + token);
    const auto& answer = peer_->wait(loop_, peer_->request(verb, path, body, fields));
    // Browsers refuse an answer that has one of theirs twice.
    std::set<std::string> names;
    for (const auto& [name, value] : answer.head) {
      if (!name.starts_with("access-control-")) continue;
      EXPECT_TRUE(names.insert(name).second) << name;
    }
    return answer;
  }
  // What an HTTP/1.1 client reads of a whole answer.
  std::string ask_http1(const std::string& request) {
    net::testing::RawPeer peer = net::testing::RawPeer::connect(port_);
    peer.send(request +
              " HTTP/1.1\r\nhost: h\r\nconnection: close\r\n"
              "authorization: Bearer viewer-token\r\n\r\n");
    EXPECT_TRUE(net::testing::run_until(loop_, [&] { return peer.is_gone(); }));
    return peer.received();
  }

  int calls_ = 0;
  Call last_call_;
  std::optional<std::string> answer_id_;  // instead of what was asked for
  Reply held_;                            // of the slow method
};

}  // namespace staithe::wire::testing
