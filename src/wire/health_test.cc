#include "wire/health.h"

#include <string>

#include "grpc/health/v1/health.pb.h"
#include "wire/router_test_kit.h"

namespace staithe::wire {
namespace {

namespace pb = ::grpc::health::v1;
using testing::enveloped;
using testing::Protocol;
using testing::read_stream;
using testing::StreamView;

const std::string base_path = "/grpc.health.v1.Health/";
constexpr auto serving = pb::HealthCheckResponse::SERVING;
constexpr auto not_serving = pb::HealthCheckResponse::NOT_SERVING;
constexpr auto service_unknown = pb::HealthCheckResponse::SERVICE_UNKNOWN;

// A prober: it has no token.
class Health : public testing::RouterTest {
 protected:
  Health() {
    MethodTable table(1);
    table[0].service = "test.v1.Things";
    table[0].name = "Get";
    table[0].request = table[0].response = &pb::HealthCheckRequest::default_instance();
    table[0].handle = [](Call, MessagePtr request, Reply reply) { reply(std::move(request)); };
    health_.add_to(table);
    start(std::move(table));
    health_.set_serving(true);
  }

  std::int32_t ask(const std::string& method, const std::string& service) {
    pb::HealthCheckRequest request;
    request.set_service(service);
    return peer_->request("POST", base_path + method, enveloped(request),
                          testing::stream_fields(Protocol::grpc));
  }
  StreamView view(std::int32_t id) { return read_stream(Protocol::grpc, peer_->answer(id)); }
  StreamView wait(std::int32_t id) { return read_stream(Protocol::grpc, peer_->wait(loop_, id)); }
  // What a watch was told so far.
  std::vector<int> told(std::int32_t id) {
    std::vector<int> states;
    for (const std::string& bytes : view(id).messages) {
      pb::HealthCheckResponse response;
      EXPECT_TRUE(response.ParseFromString(bytes));
      states.push_back(response.status());
    }
    return states;
  }
  // The state of a service, or the code of a refusal.
  std::string check(const std::string& service) {
    const StreamView seen = wait(ask("Check", service));
    if (seen.code != "OK") return seen.code;
    pb::HealthCheckResponse response;
    EXPECT_TRUE(response.ParseFromString(seen.messages.at(0)));
    return pb::HealthCheckResponse::ServingStatus_Name(response.status());
  }

  HealthService health_;
};

using States = std::vector<int>;

TEST_F(Health, checks_the_server_and_each_of_its_services) {
  for (const char* service : {"", "test.v1.Things", "grpc.health.v1.Health"}) {
    EXPECT_EQ(check(service), "SERVING") << service;
  }
  health_.set_serving(false);
  for (const char* service : {"", "test.v1.Things"}) EXPECT_EQ(check(service), "NOT_SERVING");
  health_.set_serving(true);
  EXPECT_EQ(check(""), "SERVING");
}

TEST_F(Health, a_service_that_is_not_here_is_not_found_whether_or_not_it_serves) {
  for (const char* service : {"test.v1", "test.v1.Thing", "test.v1.Things/Get", " "}) {
    EXPECT_EQ(check(service), "NOT_FOUND") << service;
  }
  health_.set_serving(false);
  EXPECT_EQ(check("test.v1.Thing"), "NOT_FOUND");
}

TEST_F(Health, serves_nothing_before_it_is_told_to) {
  HealthService fresh;
  MethodTable table;
  fresh.add_to(table);
  std::optional<int> state;
  table[0].handle({}, std::make_unique<pb::HealthCheckRequest>(), [&](Outcome outcome) {
    state = static_cast<const pb::HealthCheckResponse&>(**outcome.message).status();
  });
  EXPECT_EQ(state, not_serving);
}

TEST_F(Health, lists_every_service_with_its_state) {
  const auto list = [this] {
    const StreamView seen = wait(ask("List", ""));
    pb::HealthListResponse response;
    EXPECT_TRUE(response.ParseFromString(seen.messages.at(0)));
    std::map<std::string, int> states;
    for (const auto& [name, one] : response.statuses()) states[name] = one.status();
    return states;
  };
  EXPECT_EQ(list(),
            (std::map<std::string, int>{
                {"", serving}, {"grpc.health.v1.Health", serving}, {"test.v1.Things", serving}}));
  health_.set_serving(false);
  EXPECT_EQ(list().at("test.v1.Things"), not_serving);
}

TEST_F(Health, a_watch_hears_the_end_of_serving_and_is_over) {
  const auto id = ask("Watch", "test.v1.Things");
  const auto other = ask("Watch", "");
  ASSERT_TRUE(poll_until([&] { return told(id).size() == 1 && told(other).size() == 1; }));
  EXPECT_EQ(told(id), States{serving});
  settle();
  EXPECT_FALSE(peer_->answer(id).is_ended);
  health_.set_serving(false);
  for (const auto watch : {id, other}) {
    EXPECT_EQ(wait(watch).code, "UNAVAILABLE");
    EXPECT_EQ(told(watch), (States{serving, not_serving}));
  }
  EXPECT_EQ(server_->exchange_count(), 0u);
}

TEST_F(Health, a_watch_of_a_service_that_is_not_here_waits_for_it) {
  const auto id = ask("Watch", "test.v1.Thing");
  ASSERT_TRUE(poll_until([&] { return !told(id).empty(); }));
  settle();
  EXPECT_EQ(told(id), States{service_unknown});
  EXPECT_FALSE(peer_->answer(id).is_ended);
  health_.set_serving(false);
  EXPECT_EQ(wait(id).code, "UNAVAILABLE");
  EXPECT_EQ(told(id), States{service_unknown});
}

TEST_F(Health, a_watch_of_a_server_that_stops_is_over_at_once) {
  health_.set_serving(false);
  const auto id = ask("Watch", "");
  EXPECT_EQ(wait(id).code, "UNAVAILABLE");
  EXPECT_EQ(told(id), States{not_serving});
}

TEST_F(Health, a_client_may_leave_its_watch) {
  const auto gone = ask("Watch", "");
  const auto stays = ask("Watch", "");
  ASSERT_TRUE(poll_until([&] { return told(gone).size() == 1 && told(stays).size() == 1; }));
  peer_->reset(gone);
  settle();
  EXPECT_EQ(server_->exchange_count(), 1u);
  health_.set_serving(false);
  EXPECT_EQ(wait(stays).code, "UNAVAILABLE");
}

TEST_F(Health, answers_connect_and_the_web_as_well) {
  const auto json = peer_->request("POST", base_path + "Check", R"({"service":"test.v1.Things"})",
                                   {{"content-type", "application/json"}});
  EXPECT_EQ(peer_->wait(loop_, json).body, R"({"status":"SERVING"})");
  for (const Protocol protocol : {Protocol::grpc_web, Protocol::connect}) {
    const auto id = peer_->request("POST", base_path + "Watch", enveloped(""),
                                   testing::stream_fields(protocol));
    ASSERT_TRUE(
        poll_until([&] { return read_stream(protocol, peer_->answer(id)).messages.size() == 1; }));
    health_.set_serving(false);
    EXPECT_EQ(read_stream(protocol, peer_->wait(loop_, id)).code, "UNAVAILABLE");
    health_.set_serving(true);
  }
}

}  // namespace
}  // namespace staithe::wire
