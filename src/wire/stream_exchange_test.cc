#include <chrono>
#include <condition_variable>
#include <mutex>
#include <string>

#include "base/thread.h"
#include "coreweave/inference/v1alpha1/gateway.pb.h"
#include "wire/router_test_kit.h"

namespace staithe::wire {
namespace {

using namespace std::chrono_literals;
using net::testing::RawPeer;
using testing::enveloped;
using testing::Fields;
using testing::Http2Peer;
using testing::OpenCall;
using testing::Protocol;
using testing::read_stream;
using testing::stream_fields;
using testing::StreamView;

using Text = ::coreweave::inference::v1alpha1::GetGatewayRequest;  // any message with one string

constexpr std::size_t message_bytes_max = 256 * 1024;
const std::string base_path = "/test.v1.Streams/";

Text text(std::string value) {
  Text message;
  message.set_id(std::move(value));
  return message;
}

void send(OpenCall& call, std::string value) {
  call.answers->send(std::make_unique<Text>(text(std::move(value))));
}

std::string said(const OpenCall& call, std::size_t index) {
  return static_cast<const Text&>(*call.messages.at(index)).id();
}

std::string read_text(const std::string& bytes) {
  Text message;
  EXPECT_TRUE(message.ParseFromString(bytes));
  return message.id();
}

// Tells every test in each protocol that has streams, over HTTP/2 where these may be full-duplex.
class Streams : public testing::RouterTest, public ::testing::WithParamInterface<Protocol> {
 protected:
  Streams() {
    MethodTable table;
    const auto add = [this, &table](const char* name, Method::Kind kind, auth::Role role) {
      Method& method = table.emplace_back();
      method.service = "test.v1.Streams";
      method.name = name;
      method.kind = kind;
      method.role = role;
      method.request = &Text::default_instance();
      method.response = &Text::default_instance();
      method.open = [this](Call call, std::shared_ptr<AnswerStream> answers) {
        return script_.open(std::move(call), std::move(answers));
      };
    };
    add("Watch", Method::Kind::server_stream, auth::Role::viewer);
    add("Chat", Method::Kind::bidi_stream, auth::Role::viewer);
    add("Rule", Method::Kind::bidi_stream, auth::Role::admin);
    add("Open", Method::Kind::bidi_stream, auth::Role::admin);
    table.back().is_public = true;
    start(std::move(table), {.body_bytes_max = message_bytes_max});
  }

  Fields fields(const Fields& more = {}) const {
    Fields all = stream_fields(GetParam(), "viewer-token");
    all.insert(all.end(), more.begin(), more.end());
    return all;
  }
  // A call whose client has said all.
  std::int32_t watch(const Fields& more = {}) {
    return peer_->request("POST", base_path + "Watch", enveloped(text("all")), fields(more));
  }
  // A call whose client may say more.
  std::int32_t chat(const std::string& first, const Fields& more = {}) {
    return peer_->request("POST", base_path + "Chat", enveloped(text(first)), fields(more), false);
  }
  StreamView view(std::int32_t id) { return read_stream(GetParam(), peer_->answer(id)); }
  StreamView wait(std::int32_t id) { return read_stream(GetParam(), peer_->wait(loop_, id)); }
  // The call as its method sees it, once it is open and the client's first message is there.
  OpenCall& opened() {
    CHECK(poll_until([this] { return script_.count() > 0 && !script_.last().messages.empty(); }));
    return script_.last();
  }
  Fields timeout(int seconds) const {
    const std::string count = std::to_string(seconds);
    return GetParam() == Protocol::connect ? Fields{{"connect-timeout-ms", count + "000"}}
                                           : Fields{{"grpc-timeout", count + "S"}};
  }

  testing::ScriptedStreams script_;
};

INSTANTIATE_TEST_SUITE_P(Protocols, Streams, ::testing::ValuesIn(testing::all_protocols),
                         [](const auto& tested) { return testing::protocol_name(tested.param); });

TEST_P(Streams, messages_go_both_ways_while_the_call_is_open) {
  const auto id = chat("one");
  OpenCall& call = opened();
  EXPECT_EQ(said(call, 0), "one");
  EXPECT_EQ(call.call.principal.organization, "cw1a2b");
  send(call, "re: one");
  ASSERT_TRUE(poll_until([&] { return view(id).messages.size() == 1; }));
  peer_->send_more(id, enveloped(text("two")) + enveloped(text("three")), true);
  ASSERT_TRUE(poll_until([&] { return call.is_ended; }));
  EXPECT_EQ(said(call, 1), "two");
  EXPECT_EQ(said(call, 2), "three");
  EXPECT_FALSE(peer_->answer(id).is_ended);
  send(call, "");
  send(call, "bye");
  call.answers->end({}, {});
  const StreamView all = wait(id);
  ASSERT_EQ(all.messages.size(), 3u);
  EXPECT_EQ(read_text(all.messages[0]), "re: one");
  EXPECT_EQ(read_text(all.messages[1]), "");
  EXPECT_EQ(read_text(all.messages[2]), "bye");
  EXPECT_EQ(all.code, "OK");
  EXPECT_TRUE(call.is_destroyed);
}

TEST_P(Streams, a_stream_may_end_well_without_a_message) {
  script_.when_ended = [](OpenCall& call) { call.answers->end({}, {}); };
  const StreamView all = wait(watch());
  EXPECT_TRUE(all.messages.empty());
  EXPECT_EQ(all.code, "OK");
}

TEST_P(Streams, an_error_after_a_message_follows_it) {
  script_.when_ended = [](OpenCall& call) {
    send(call, "first");
    call.answers->end(Error{.code = Code::aborted, .message = "changed meanwhile"}, {});
    send(call, "too late");
  };
  const auto id = watch();
  const StreamView all = wait(id);
  ASSERT_EQ(all.messages.size(), 1u);
  EXPECT_EQ(all.code, "ABORTED");
  EXPECT_EQ(peer_->answer(id).status(), "200");
}

TEST_P(Streams, an_error_before_any_message_is_all_of_the_answer) {
  script_.when_ended = [](OpenCall& call) {
    call.answers->end(Error{.code = Code::not_found, .message = "nothing here"}, {});
  };
  const auto id = watch();
  const StreamView all = wait(id);
  EXPECT_TRUE(all.messages.empty());
  EXPECT_EQ(all.code, "NOT_FOUND");
  EXPECT_EQ(all.message, "nothing here");
  EXPECT_EQ(peer_->answer(id).status(), "200");
  // gRPC's "Trailers-Only" is one HEADERS frame, and nothing behind it.
  EXPECT_EQ(peer_->answer(id).is_head_all, GetParam() != Protocol::connect);
}

TEST_P(Streams, what_the_method_names_is_in_head_and_trailers) {
  script_.when_ended = [](OpenCall& call) {
    call.answers->send_headers({{"x-head", "1"}});
    call.answers->end({}, {{"x-tail", "2"}});
  };
  const auto id = watch();
  EXPECT_EQ(wait(id).code, "OK");
  const auto& answer = peer_->answer(id);
  EXPECT_EQ(answer.field("x-head"), "1");
  if (GetParam() == Protocol::grpc) {
    EXPECT_EQ(testing::field_of(answer.trailers, "x-tail"), "2");
  } else {
    EXPECT_NE(answer.body.find("x-tail"), std::string::npos);
  }
}

TEST_P(Streams, the_deadline_ends_a_stream_in_the_middle) {
  const auto id = watch(timeout(5));
  OpenCall& call = opened();
  EXPECT_EQ(call.call.timeout, 5s);
  EXPECT_EQ(call.call.deadline, clock_.instant() + 5s);
  send(call, "first");
  ASSERT_TRUE(poll_until([&] { return view(id).messages.size() == 1; }));
  advance(4999ms);
  settle();
  EXPECT_EQ(view(id).code, "");
  EXPECT_FALSE(call.is_destroyed);
  advance(1ms);
  const StreamView all = wait(id);
  EXPECT_EQ(all.messages.size(), 1u);
  EXPECT_EQ(all.code, "DEADLINE_EXCEEDED");
  EXPECT_EQ(counted("Watch", "DEADLINE_EXCEEDED"), 1);
  EXPECT_TRUE(call.is_destroyed);
  // The method may not have noticed yet.
  send(call, "late");
  call.answers->end({}, {});
  settle();
  EXPECT_EQ(view(id).messages.size(), 1u);
  EXPECT_EQ(view(id).code, "DEADLINE_EXCEEDED");
}

TEST_P(Streams, a_malformed_deadline_is_refused_before_the_method_is_called) {
  const StreamView all = wait(
      watch({{GetParam() == Protocol::connect ? "connect-timeout-ms" : "grpc-timeout", "soon"}}));
  EXPECT_EQ(all.code, "INVALID_ARGUMENT");
  EXPECT_EQ(script_.count(), 0u);
}

TEST_P(Streams, a_client_that_resets_its_stream_ends_the_call) {
  const auto id = chat("one");
  OpenCall& call = opened();
  send(call, "first");
  ASSERT_TRUE(poll_until([&] { return view(id).messages.size() == 1; }));
  peer_->reset(id);
  EXPECT_TRUE(poll_until([&] { return call.is_destroyed; }));
  EXPECT_FALSE(call.is_ended);
  send(call, "late");
  call.answers->end({}, {});
  settle();
  EXPECT_EQ(server_->exchange_count(), 0u);
  EXPECT_EQ(counted("Chat", "CANCELLED"), 1);
  EXPECT_EQ(counted("Chat", "OK"), 0);
}

TEST_P(Streams, a_client_that_hangs_up_ends_the_call) {
  chat("one");
  OpenCall& call = opened();
  peer_->raw().close_with_reset();
  EXPECT_TRUE(net::testing::run_until(loop_, [&] { return call.is_destroyed; }));
}

TEST_P(Streams, nothing_is_heard_of_a_client_once_the_call_has_ended) {
  script_.when_message = [](OpenCall& call) { call.answers->end({}, {}); };
  const auto id = chat("one");
  OpenCall& call = opened();
  ASSERT_EQ(wait(id).code, "OK");
  peer_->send_more(id, enveloped(text("two")), true);
  settle();
  EXPECT_EQ(call.messages.size(), 1u);
  EXPECT_FALSE(call.is_ended);
  // The connection is none the worse for it.
  script_.when_message = [](OpenCall&) {};
  script_.when_ended = [](OpenCall& again) { again.answers->end({}, {}); };
  EXPECT_EQ(wait(watch()).code, "OK");
}

TEST_P(Streams, wants_one_whole_message_of_a_client_that_may_send_one) {
  const auto answer_to = [this](const std::string& body) {
    return wait(peer_->request("POST", base_path + "Watch", body, fields())).code;
  };
  const std::string one = enveloped(text("one"));
  EXPECT_EQ(answer_to(""), "UNIMPLEMENTED");
  EXPECT_EQ(answer_to(one + one), "UNIMPLEMENTED");
  EXPECT_EQ(answer_to(one.substr(0, one.size() - 1)), "INVALID_ARGUMENT");
  EXPECT_EQ(answer_to(enveloped("\xff")), "INVALID_ARGUMENT");
  for (std::size_t i = 0; i < script_.count(); ++i) EXPECT_FALSE(script_.last().is_ended);
}

TEST_P(Streams, a_message_that_says_it_is_too_large_is_refused_before_it_is_sent) {
  std::string head = enveloped(std::string(message_bytes_max + 1, 'a'));
  head.resize(Envelope::head_bytes);
  const auto id = peer_->request("POST", base_path + "Chat", head, fields(), false);
  EXPECT_EQ(wait(id).code, "RESOURCE_EXHAUSTED");
  EXPECT_TRUE(script_.last().messages.empty());
}

TEST_P(Streams, a_message_that_is_too_large_unpacked_is_refused) {
  const char* name = GetParam() == Protocol::connect ? "connect-content-encoding" : "grpc-encoding";
  const auto send_packed = [&](std::size_t size) {
    const std::string packed = gzip(text(std::string(size, 'a')).SerializeAsString());
    const std::string body = enveloped(packed, Envelope::compressed_flag);
    return peer_->request("POST", base_path + "Chat", body, fields({{name, "gzip"}}), false);
  };
  EXPECT_EQ(wait(send_packed(message_bytes_max + 1)).code, "RESOURCE_EXHAUSTED");
  EXPECT_TRUE(script_.last().messages.empty());
  send_packed(message_bytes_max - 10);
  EXPECT_TRUE(poll_until([this] { return !script_.last().messages.empty(); }));
  EXPECT_EQ(said(script_.last(), 0).size(), message_bytes_max - 10);
}

TEST_P(Streams, nobody_is_let_in_without_a_token_and_a_viewer_not_to_what_admins_do) {
  const auto code_for = [this](const char* method, const std::string& token) {
    const auto id = peer_->request("POST", base_path + method, enveloped(text("one")),
                                   stream_fields(GetParam(), token));
    const StreamView seen = wait(id);
    EXPECT_EQ(peer_->answer(id).status(), "200");
    return seen.code;
  };
  EXPECT_EQ(code_for("Watch", ""), "UNAUTHENTICATED");
  EXPECT_EQ(code_for("Watch", "unknown-token"), "UNAUTHENTICATED");
  EXPECT_EQ(code_for("Rule", "viewer-token"), "PERMISSION_DENIED");
  EXPECT_EQ(code_for("Nothing", ""), "UNAUTHENTICATED");
  EXPECT_EQ(script_.count(), 0u);
  script_.when_ended = [](OpenCall& call) { call.answers->end({}, {}); };
  EXPECT_EQ(code_for("Rule", "admin-token"), "OK");
  EXPECT_EQ(code_for("Open", ""), "OK");
  EXPECT_EQ(code_for("Nothing", "viewer-token"), "UNIMPLEMENTED");
}

TEST_P(Streams, a_method_that_heeds_congestion_holds_little_and_loses_nothing) {
  constexpr int count = 2'000;
  constexpr std::size_t size = 1'000;
  int next = 0;
  const auto write = [&next](OpenCall& call) {
    while (next < count && !call.answers->is_congested()) {
      send(call, std::to_string(next++) + std::string(size, '.'));
    }
    if (next == count) call.answers->end({}, {});
  };
  script_.when_ended = write;
  script_.when_writable = write;
  peer_.emplace(port_, false);
  const auto id = watch();
  settle();
  // 64 KiB fill the stream's window, as much waits in the exchange and as much before it.
  EXPECT_LT(next, 300);
  EXPECT_GT(next, 60);
  const int held = next;
  settle();
  EXPECT_EQ(next, held) << "a client that does not read is not written for";

  std::size_t consumed = 0;
  ASSERT_TRUE(poll_until([&] {
    const std::size_t received = peer_->answer(id).body.size();
    peer_->consume(id, received - std::exchange(consumed, received));
    return peer_->answer(id).is_ended;
  }));
  const StreamView all = view(id);
  EXPECT_EQ(all.code, "OK");
  ASSERT_EQ(all.messages.size(), static_cast<std::size_t>(count));
  for (int i = 0; i < count; ++i) {
    ASSERT_TRUE(read_text(all.messages[i]).starts_with(std::to_string(i) + "."));
  }
  EXPECT_GT(script_.last().writable_count, 1);
}

TEST_P(Streams, a_method_may_answer_from_a_thread_of_its_own) {
  constexpr int count = 3'000;
  std::mutex mutex;
  std::condition_variable changed;
  bool is_stopped = false;  // guarded by mutex
  script_.when_writable = [&mutex, &changed](OpenCall&) {
    const std::lock_guard lock(mutex);
    changed.notify_all();
  };
  const auto id = watch();
  const std::shared_ptr<AnswerStream> answers = opened().answers;
  Thread writer("writer", [&mutex, &changed, &is_stopped, answers] {
    for (int i = 0; i < count; ++i) {
      std::unique_lock lock(mutex);
      changed.wait(lock, [&] { return is_stopped || !answers->is_congested(); });
      if (is_stopped) return;
      lock.unlock();
      answers->send(std::make_unique<Text>(text(std::to_string(i) + std::string(500, '.'))));
    }
    answers->end({}, {});
  });
  const bool is_whole = poll_until([&] { return peer_->answer(id).is_ended; });
  {
    const std::lock_guard lock(mutex);
    is_stopped = true;
    changed.notify_all();
  }
  writer.join();
  ASSERT_TRUE(is_whole) << "the writer was not told to go on";
  const StreamView all = view(id);
  EXPECT_EQ(all.code, "OK");
  ASSERT_EQ(all.messages.size(), static_cast<std::size_t>(count));
  for (int i = 0; i < count; ++i) {
    ASSERT_TRUE(read_text(all.messages[i]).starts_with(std::to_string(i) + "."));
  }
}

TEST_P(Streams, small_questions_do_not_pile_up_large_answers) {
  constexpr int count = 200;
  constexpr std::size_t size = 40'000;
  std::size_t answered = 0;
  script_.when_message = [&answered](OpenCall& call) {
    ++answered;
    send(call, std::string(size, '.'));
  };
  script_.when_ended = [](OpenCall& call) { call.answers->end({}, {}); };
  peer_.emplace(port_, false);
  std::string questions;
  for (int i = 0; i < count; ++i) questions += enveloped(text("?"));
  const auto id = peer_->request("POST", base_path + "Chat", questions, fields());
  settle();
  EXPECT_LT(answered, 10u) << "one small body made the server hold all its answers";
  EXPECT_FALSE(script_.last().is_ended);
  std::size_t consumed = 0;
  ASSERT_TRUE(poll_until([&] {
    const std::size_t received = peer_->answer(id).body.size();
    peer_->consume(id, received - std::exchange(consumed, received));
    return peer_->answer(id).is_ended;
  }));
  EXPECT_EQ(view(id).messages.size(), static_cast<std::size_t>(count));
  EXPECT_EQ(view(id).code, "OK");
}

TEST_P(Streams, over_http_1_a_stream_is_one_body_in_chunks) {
  script_.when_ended = [](OpenCall& call) {
    send(call, "first");
    call.answers->end({}, {});
  };
  RawPeer peer = RawPeer::connect(port_);
  const std::string body = enveloped(text("all"));
  std::string head = "POST " + base_path +
                     "Watch HTTP/1.1\r\nhost: h\r\ncontent-length: " + std::to_string(body.size()) +
                     "\r\n";
  for (const auto& [name, value] : fields()) head += name + ": " + value + "\r\n";
  peer.send(head + "\r\n" + body);
  ASSERT_TRUE(net::testing::run_until(loop_, [&] { return peer.has_received("\r\n0\r\n"); }));
  EXPECT_TRUE(peer.has_received("HTTP/1.1 200 OK\r\n"));
  EXPECT_TRUE(peer.has_received("Transfer-Encoding: chunked\r\n"));
  EXPECT_TRUE(peer.has_received(enveloped(text("first"))));
}

}  // namespace
}  // namespace staithe::wire
