#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "auth/token_record.h"
#include "base/encoding.h"
#include "net/http2_test_kit.h"
#include "wire/api_handler.h"
#include "wire/envelope.h"

// What the tests of whole calls share: an ApiRouter behind a real server, and what foreign clients
// make of its answers.
namespace staithe::wire::testing {

using Http2Peer = net::testing::Http2Peer;
using Fields = net::testing::Fields;

enum class Protocol { grpc, grpc_web, connect };
inline constexpr Protocol all_protocols[] = {Protocol::grpc, Protocol::grpc_web, Protocol::connect};

inline std::string protocol_name(Protocol protocol) {
  return protocol == Protocol::grpc       ? "grpc"
         : protocol == Protocol::grpc_web ? "grpc_web"
                                          : "connect";
}

// The head of a streaming request with binary messages. An empty token is none.
inline Fields stream_fields(Protocol protocol, const std::string& token = "") {
  Fields fields;
  if (protocol == Protocol::grpc) {
    fields = {{"te", "trailers"}, {"content-type", "application/grpc+proto"}};
  } else if (protocol == Protocol::grpc_web) {
    fields = {{"content-type", "application/grpc-web+proto"}};
  } else {
    fields = {{"content-type", "application/connect+proto"}, {"connect-protocol-version", "1"}};
  }
  if (!token.empty()) fields.emplace_back("authorization", "Bearer " + token);
  return fields;
}

inline std::string enveloped(std::string_view payload, std::uint8_t flags = 0) {
  std::string out;
  append_envelope(out, flags, payload);
  return out;
}

inline std::string enveloped(const google::protobuf::Message& message) {
  return enveloped(message.SerializeAsString());
}

// What a streaming answer says so far.
struct StreamView {
  std::vector<std::string> messages;
  std::string code;  // canonical, "OK" at a proper end, empty before any end
  std::string message;
};

inline std::string field_of(const Fields& fields, std::string_view name) {
  for (const auto& [key, value] : fields) {
    if (key == name) return value;
  }
  return {};
}

inline std::string code_of_number(const std::string& number) {
  return number.empty() ? number : std::string(code_name(static_cast<Code>(std::stoi(number))));
}

inline std::string code_of_connect(std::string_view name) {
  return name == "canceled" ? "CANCELLED" : to_upper(name);
}

inline StreamView read_stream(Protocol protocol, const Http2Peer::Answer& answer) {
  StreamView view;
  std::string_view body = answer.body;
  while (true) {
    const auto taken = take_envelope(body, answer.body.size());
    CHECK(taken.has_value());
    if (!*taken) break;
    const Envelope envelope = **taken;
    EXPECT_EQ(view.code, "") << "something follows the end";
    if (envelope.flags == 0) {
      view.messages.emplace_back(envelope.payload);
    } else if (envelope.flags == 0x80 && protocol == Protocol::grpc_web) {
      const std::string lines(envelope.payload);
      const auto at = lines.find("grpc-status: ");
      CHECK(at != std::string::npos);
      view.code = code_of_number(lines.substr(at + 13, lines.find('\r', at) - at - 13));
    } else if (envelope.flags == 0x02 && protocol == Protocol::connect) {
      const auto end = nlohmann::json::parse(envelope.payload);
      view.code = end.contains("error") ? code_of_connect(end["error"].value("code", "")) : "OK";
      if (end.contains("error")) view.message = end["error"].value("message", "");
    } else {
      ADD_FAILURE() << "flags " << int{envelope.flags};
    }
  }
  EXPECT_TRUE(!answer.is_ended || body.empty()) << "the answer ends within a message";
  if (protocol == Protocol::connect || !view.code.empty()) return view;
  // At the end of the stream, or in a head that is all there is.
  const Fields& end =
      answer.is_head_all || protocol == Protocol::grpc_web ? answer.head : answer.trailers;
  view.code = code_of_number(field_of(end, "grpc-status"));
  view.message = field_of(end, "grpc-message");
  return view;
}

// A streaming call as its method sees it, kept beyond its life.
struct OpenCall {
  Call call;
  std::shared_ptr<AnswerStream> answers;
  std::vector<MessagePtr> messages;
  int writable_count = 0;
  bool is_ended = false;
  bool is_destroyed = false;
};

// A streaming method that does what the test tells it to.
class ScriptedStreams {
 public:
  std::function<void(OpenCall&)> when_message = [](OpenCall&) {};
  std::function<void(OpenCall&)> when_ended = [](OpenCall&) {};
  std::function<void(OpenCall&)> when_writable = [](OpenCall&) {};

  std::size_t count() const { return calls_.size(); }
  OpenCall& last() { return *calls_.back(); }

  std::unique_ptr<CallStream> open(Call call, std::shared_ptr<AnswerStream> answers) {
    OpenCall& opened = *calls_.emplace_back(std::make_unique<OpenCall>());
    opened.call = std::move(call);
    opened.answers = std::move(answers);
    return std::make_unique<Stream>(*this, opened);
  }

 private:
  class Stream final : public CallStream {
   public:
    Stream(ScriptedStreams& script, OpenCall& call) : script_(script), call_(call) {}
    ~Stream() override { call_.is_destroyed = true; }
    void on_message(MessagePtr message) override {
      call_.messages.push_back(std::move(message));
      script_.when_message(call_);
    }
    void on_end() override {
      call_.is_ended = true;
      script_.when_ended(call_);
    }
    void on_writable() override {
      ++call_.writable_count;
      script_.when_writable(call_);
    }

   private:
    ScriptedStreams& script_;
    OpenCall& call_;
  };

  std::vector<std::unique_ptr<OpenCall>> calls_;
};

// An ApiRouter behind a server whose clock the test holds. "admin-token" and "viewer-token" are
// known.
class RouterTest : public ::testing::Test {
 protected:
  void start(MethodTable table, ApiOptions options = {}) {
    std::vector<auth::Token> all;
    for (const char* text : {"admin-token=cw1a2b:admin", "viewer-token=cw1a2b:viewer"}) {
      all.push_back(auth::parse_bootstrap_token(text, clock_.now()).value());
    }
    tokens_.replace(std::make_shared<const auth::TokenSnapshot>(std::move(all)));
    table_ = std::move(table);
    router_ =
        std::make_unique<ApiRouter>(table_, tokens_, clock_, random_, std::move(options), metrics_);
    net::Listener listener = net::testing::listen_on_loopback();
    port_ = listener.port;
    server_ = std::make_unique<net::HttpServer>(loop_, *router_, std::move(listener));
    peer_.emplace(port_);
  }
  // Before what a test has of its own, which open calls use.
  void TearDown() override { server_.reset(); }
  void advance(Duration by) {
    clock_.advance(by);
    net::testing::run_turns(loop_, 2);
  }
  // Calls of a method that came to this, as the metrics tell.
  int counted(const std::string& method, const std::string& code) const {
    const std::string text = metrics_.render();
    for (std::size_t at = 0; at < text.size(); at = text.find('\n', at) + 1) {
      const std::string line = text.substr(at, text.find('\n', at) - at);
      const bool is_it = line.starts_with("staithe_api_requests_total{") &&
                         line.find("method=\"" + method + "\"") != std::string::npos &&
                         line.find("code=\"" + code + "\"") != std::string::npos;
      if (is_it) return std::stoi(line.substr(line.rfind(' ') + 1));
    }
    return 0;
  }
  // Runs both ends until neither has anything left to say.
  void settle() {
    for (int i = 0; i < 20; ++i) {
      peer_->poll();
      net::testing::run_turns(loop_, 2);
    }
    peer_->poll();
  }
  template <typename IsDone>
  bool poll_until(IsDone is_done) {
    return peer_->poll_until(loop_, is_done);
  }

  FakeClock clock_;
  net::EventLoop loop_{clock_};
  SeededRandom random_{1};
  Metrics metrics_;
  auth::TokenTable tokens_;
  MethodTable table_;
  std::unique_ptr<ApiRouter> router_;
  std::unique_ptr<net::HttpServer> server_;
  std::uint16_t port_ = 0;
  std::optional<Http2Peer> peer_;
};

}  // namespace staithe::wire::testing
