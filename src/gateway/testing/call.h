#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "gateway/testing/gateway_world.h"
#include "net/http2_test_kit.h"

namespace staithe::gateway::testing {

enum class Transport { http1, http2 };

inline std::string transport_name(const ::testing::TestParamInfo<Transport>& one) {
  return one.param == Transport::http1 ? "http1" : "http2";
}

// One request to the gateway "gw" over either protocol, on a connection of its own.
class Call {
 public:
  struct Request {
    std::string method = "POST";
    std::string path = "/v1/chat/completions";
    std::string body = R"({"model":"model-a","stream":true,"messages":[]})";
    net::testing::Fields headers = {{"content-type", "application/json"}};
    std::string authorization = std::string(key);
    bool is_whole = true;  // otherwise the last byte of the body is kept
  };
  // What there is of the answer.
  struct Answer {
    int status = 0;
    net::testing::Fields headers;  // names in lower case
    std::string body;
    bool is_whole = false;

    std::string header(std::string_view name) const {
      for (const auto& [key_text, value] : headers) {
        if (key_text == name) return value;
      }
      return "";
    }
  };

  Call(GatewayWorld& world, Transport transport) : Call(world, transport, Request{}) {}
  Call(GatewayWorld& world, Transport transport, Request request) : world_(world) {
    if (!request.authorization.empty()) {
      request.headers.emplace_back("authorization", "Bearer " + request.authorization);
    }
    const std::string target = "/gateways/gw" + request.path;
    const std::string sent =
        request.is_whole ? request.body : request.body.substr(0, request.body.size() - 1);
    if (transport == Transport::http2) {
      http2_.emplace(world.connect());
      stream_ = http2_->request(request.method, target, sent, request.headers, request.is_whole);
      poll();
      return;
    }
    std::string headers;
    for (const auto& [name, value] : request.headers) headers += name + ": " + value + "\r\n";
    if (!request.body.empty()) {
      headers += fmt::format("content-length: {}\r\n", request.body.size());
    }
    http1_.emplace(world.connect());
    world.send(*http1_, fmt::format("{} {} HTTP/1.1\r\nHost: gateway.test\r\n{}\r\n{}",
                                    request.method, target, headers, sent));
  }

  void poll() {
    if (http2_) http2_->poll();
  }
  void send_last(char byte) {
    if (http1_) return http1_->send(std::string(1, byte));
    http2_->send_more(stream_, std::string(1, byte), true);
    poll();
  }
  Answer so_far() {
    poll();
    if (http1_) {
      const auto message = parse_message(http1_->received());
      if (!message) return {};
      return {.status = message->status(),
              .headers = message->headers,
              .body = message->body,
              .is_whole = message->is_whole};
    }
    const auto& answer = http2_->answer(stream_);
    return {.status = answer.status().empty() ? 0 : std::stoi(answer.status()),
            .headers = answer.head,
            .body = answer.body,
            .is_whole = answer.is_ended};
  }
  // The whole answer, or what there is if it breaks off.
  Answer answer() {
    CHECK_THAT(world_.until([&] { return so_far().is_whole || is_broken(); }), so_far().body);
    return so_far();
  }
  bool is_broken() {
    return http1_ ? http1_->is_gone()
                  : http2_->answer(stream_).reset.has_value() || http2_->raw().is_gone();
  }
  // As a client whose user pressed "stop": closes the connection, or resets the stream.
  void hang_up() {
    if (http1_) return http1_->close();
    http2_->reset(stream_);
    poll();
  }

 private:
  GatewayWorld& world_;
  std::optional<RawPeer> http1_;
  std::optional<net::testing::BasicHttp2Peer<RawPeer>> http2_;
  std::int32_t stream_ = 0;
};

}  // namespace staithe::gateway::testing
