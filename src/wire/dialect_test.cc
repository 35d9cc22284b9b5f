#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/encoding.h"
#include "coreweave/inference/v1alpha1/gateway.pb.h"
#include "google/rpc/error_details.pb.h"
#include "wire/compression.h"
#include "wire/connect.h"
#include "wire/error_drawing.h"
#include "wire/rest.h"

namespace staithe::wire {
namespace {

namespace pb = ::coreweave::inference::v1alpha1;
using nlohmann::json;

constexpr std::size_t body_bytes_max = 64 * 1024;

Method method(std::string name, std::string verb, std::string path,
              const google::protobuf::Message& request, const google::protobuf::Message& response) {
  Method made;
  made.service = "coreweave.inference.v1alpha1.GatewayService";
  made.name = std::move(name);
  made.verb = std::move(verb);
  made.path = "/v1alpha1/inference/gateways" + std::move(path);
  made.request = &request;
  made.response = &response;
  return made;
}

MethodTable table() {
  return {method("ListGateways", "GET", "", pb::ListGatewaysRequest::default_instance(),
                 pb::ListGatewaysResponse::default_instance()),
          method("CreateGateway", "POST", "", pb::CreateGatewayRequest::default_instance(),
                 pb::CreateGatewayResponse::default_instance()),
          method("GetGateway", "GET", "/{id}", pb::GetGatewayRequest::default_instance(),
                 pb::GetGatewayResponse::default_instance()),
          method("UpdateGateway", "PATCH", "/{id}", pb::UpdateGatewayRequest::default_instance(),
                 pb::UpdateGatewayResponse::default_instance()),
          method("GetGatewayParameters", "GET", "/parameters",
                 pb::GetGatewayParametersRequest::default_instance(),
                 pb::GetGatewayParametersResponse::default_instance())};
}

// A request with these fields; the body is an RPC message or JSON.
RawRequest request_with(std::string method, std::string path, std::string body,
                        const std::vector<net::HeaderView>& fields) {
  RawRequest made;
  made.method = std::move(method);
  const auto mark = path.find('?');
  made.query = mark == std::string::npos ? "" : path.substr(mark + 1);
  made.path = path.substr(0, mark);
  made.body = std::move(body);
  net::HeaderList list;
  for (const net::HeaderView& field : fields) list.add(field.name, field.value);
  made.headers = net::OwnedHeaders(list);
  if (const auto type = made.header("content-type")) made.media_type = media_type_of(*type);
  return made;
}

std::string field(const Metadata& fields, std::string_view name) {
  for (const auto& [key, value] : fields) {
    if (key == name) return value;
  }
  return "";
}

// One row of the table that both dialects share.
struct CodeCase {
  Code code;
  std::uint16_t status;
  const char* connect;
};
constexpr CodeCase code_cases[] = {{Code::cancelled, 499, "canceled"},
                                   {Code::unknown, 500, "unknown"},
                                   {Code::invalid_argument, 400, "invalid_argument"},
                                   {Code::deadline_exceeded, 504, "deadline_exceeded"},
                                   {Code::not_found, 404, "not_found"},
                                   {Code::already_exists, 409, "already_exists"},
                                   {Code::permission_denied, 403, "permission_denied"},
                                   {Code::resource_exhausted, 429, "resource_exhausted"},
                                   {Code::failed_precondition, 400, "failed_precondition"},
                                   {Code::aborted, 409, "aborted"},
                                   {Code::out_of_range, 400, "out_of_range"},
                                   {Code::unimplemented, 501, "unimplemented"},
                                   {Code::internal, 500, "internal"},
                                   {Code::unavailable, 503, "unavailable"},
                                   {Code::data_loss, 500, "data_loss"},
                                   {Code::unauthenticated, 401, "unauthenticated"}};

TEST(ErrorDrawing, gives_every_code_its_status_and_name_in_both_dialects) {
  const MethodTable methods = table();
  const RestDialect rest(methods, RestErrorCode::rpc, body_bytes_max);
  const RestDialect rest_http(methods, RestErrorCode::http, body_bytes_max);
  const RpcPaths paths(methods);
  const ConnectDialect connect(paths, body_bytes_max);
  const RawRequest none;
  for (const CodeCase& wanted : code_cases) {
    const Error error{.code = wanted.code, .message = "said"};
    const RawAnswer rest_answer = rest.write_error(error, none);
    EXPECT_EQ(rest_answer.status, wanted.status);
    EXPECT_EQ(json::parse(rest_answer.body), (json{{"code", static_cast<int>(wanted.code)},
                                                   {"message", "said"},
                                                   {"details", json::array()}}));
    EXPECT_EQ(json::parse(rest_http.write_error(error, none).body)["code"], wanted.status);
    const RawAnswer connect_answer = connect.write_error(error, none);
    EXPECT_EQ(connect_answer.status, wanted.status);
    EXPECT_EQ(json::parse(connect_answer.body),
              (json{{"code", wanted.connect}, {"message", "said"}}));
  }
}

TEST(ErrorDrawing, draws_every_detail_with_its_type) {
  Error error{.code = Code::failed_precondition, .message = "m"};
  error.violations = {{"a.b", "a.b is wrong"}};
  error.resources = {{"gateway", "g1", "no gateway with this id"}};
  error.preconditions = {{"DELETING", "g1", "is being deleted"}};
  error.quotas = {{"cw1a2b", "too many"}};
  const json details = json::parse(draw_rest_error(error, RestErrorCode::rpc))["details"];
  ASSERT_EQ(details.size(), 4u);
  EXPECT_EQ(details[0],
            (json{{"@type", "type.googleapis.com/google.rpc.BadRequest"},
                  {"fieldViolations", {{{"field", "a.b"}, {"description", "a.b is wrong"}}}}}));
  EXPECT_EQ(details[1], (json{{"@type", "type.googleapis.com/google.rpc.ResourceInfo"},
                              {"resourceType", "gateway"},
                              {"resourceName", "g1"},
                              {"owner", ""},
                              {"description", "no gateway with this id"}}));
  EXPECT_EQ(details[2]["violations"][0]["type"], "DELETING");
  EXPECT_EQ(details[3]["violations"][0]["subject"], "cw1a2b");

  const json connect = json::parse(draw_connect_error(error))["details"];
  ASSERT_EQ(connect.size(), 4u);
  EXPECT_EQ(connect[1]["type"], "google.rpc.ResourceInfo");
  google::rpc::ResourceInfo info;
  ASSERT_TRUE(info.ParseFromString(*base64_decode(connect[1]["value"].get<std::string>())));
  EXPECT_EQ(info.resource_name(), "g1");
}

class Rest : public testing::Test {
 protected:
  const MethodTable methods_ = table();
  const RestDialect rest_{methods_, RestErrorCode::rpc, body_bytes_max};

  static RawRequest request(std::string verb, std::string path, std::string body = {},
                            const std::vector<net::HeaderView>& fields = {}) {
    return request_with(std::move(verb), "/v1alpha1/inference/gateways" + path, std::move(body),
                        fields);
  }
  std::string chosen(const RawRequest& request) const {
    const auto found = rest_.choose(request);
    return found.method == nullptr ? std::to_string(found.refusal.status) : found.method->name;
  }
  Result<MessagePtr> read(RawRequest request) const {
    const auto found = rest_.choose(request);
    CHECK(found.method != nullptr);
    return rest_.read(*found.method, request);
  }
};

TEST_F(Rest, lets_a_literal_segment_win_over_an_id) {
  EXPECT_EQ(chosen(request("GET", "/parameters")), "GetGatewayParameters");
  EXPECT_EQ(chosen(request("GET", "/parameters2")), "GetGateway");
  EXPECT_EQ(chosen(request("HEAD", "/x")), "GetGateway");
}

TEST_F(Rest, knows_no_path_with_a_slash_at_the_end_or_a_segment_too_many) {
  for (const char* path : {"/", "/x/", "/x/y", "//", "s"})
    EXPECT_EQ(chosen(request("GET", path)), "404") << path;
}

TEST_F(Rest, names_the_verbs_of_a_path) {
  const auto found = rest_.choose(request("PUT", ""));
  ASSERT_EQ(found.refusal.status, 405);
  bool is_named = false;
  for (const auto& [name, value] : found.refusal.headers)
    is_named |= name == "Allow" && value == "GET, HEAD, POST, OPTIONS";
  EXPECT_TRUE(is_named);
  EXPECT_EQ(json::parse(found.refusal.body)["code"], 12);
}

TEST_F(Rest, takes_json_only_and_reads_an_unnamed_body_as_json) {
  const std::string body = R"({"name":"edge"})";
  EXPECT_TRUE(read(request("POST", "", body)));
  EXPECT_TRUE(
      read(request("POST", "", body, {{"content-type", "Application/JSON ; charset=utf-8"}})));
  const auto refused = read(request("POST", "", body, {{"content-type", "text/plain"}}));
  ASSERT_FALSE(refused);
  EXPECT_EQ(rest_.write_error(refused.error(), {}).status, 415);
  EXPECT_TRUE(read(request("POST", "", "", {{"content-type", "text/plain"}})));
}

TEST_F(Rest, compresses_a_large_answer_for_a_client_that_takes_gzip) {
  pb::GetGatewayResponse response;
  response.mutable_gateway()->mutable_spec()->set_name(std::string(5'000, 'n'));
  const auto write = [&](const std::vector<net::HeaderView>& fields) {
    MessagePtr message(response.New());
    message->CopyFrom(response);
    return rest_.write(Outcome(std::move(message)), request("GET", "/x", "", fields));
  };
  const RawAnswer plain = write({});
  EXPECT_EQ(field(plain.headers, "Content-Encoding"), "");
  EXPECT_EQ(field(write({{"accept-encoding", "gzip;q=0"}}).headers, "Content-Encoding"), "");
  const RawAnswer packed = write({{"accept-encoding", "br, GZIP;q=0.5"}});
  EXPECT_EQ(field(packed.headers, "Content-Encoding"), "gzip");
  EXPECT_LT(packed.body.size(), plain.body.size() / 2);
  EXPECT_EQ(gunzip(packed.body, 100'000).value(), plain.body);
}

TEST_F(Rest, binds_the_decoded_id_of_the_path) {
  const auto message = read(request("GET", "/a%2Fb"));
  ASSERT_TRUE(message);
  EXPECT_EQ(static_cast<const pb::GetGatewayRequest&>(**message).id(), "a/b");
  EXPECT_FALSE(read(request("GET", "/%zz")));
  // A query cannot change it.
  EXPECT_EQ(static_cast<const pb::GetGatewayRequest&>(**read(request("GET", "/x?id=y"))).id(), "x");
}

TEST_F(Rest, wants_the_id_of_the_body_to_agree_with_the_path) {
  EXPECT_TRUE(read(request("PATCH", "/ABC", R"({"id":"abc"})")));
  EXPECT_TRUE(read(request("PATCH", "/ABC", R"({"id":""})")));
  const auto refused = read(request("PATCH", "/abc", R"({"id":"abd"})"));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().message, "id in body does not match id in path");
}

TEST_F(Rest, reads_times_in_the_query_with_a_bare_plus) {
  for (const char* query :
       {"updatedAfter=2026-01-01T00:00:00%2B01:00", "updatedAfter=2026-01-01T00:00:00+01:00",
        "updated_after=2026-01-01T00:00:00%2001:00&unknown=1&"}) {
    const auto message = read(request("GET", std::string("?") + query));
    ASSERT_TRUE(message) << query;
    EXPECT_EQ(static_cast<const pb::ListGatewaysRequest&>(**message).updated_after().seconds(),
              1'767'222'000)
        << query;
  }
  const auto refused = read(request("GET", "?updatedAfter="));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().violations.at(0).field, "updatedAfter");
  EXPECT_FALSE(read(request("GET", "?updatedAfter=%2")));
}

TEST_F(Rest, unpacks_gzip_within_its_limit) {
  const auto read_as = [this](std::string body, std::string_view encoding) {
    return read(request("POST", "", std::move(body), {{"content-encoding", encoding}}));
  };
  std::string packed = gzip(R"({"name":"edge"})");
  const auto message = read_as(packed, "gzip");
  ASSERT_TRUE(message);
  EXPECT_EQ(static_cast<const pb::CreateGatewayRequest&>(**message).name(), "edge");
  EXPECT_EQ(read_as(gzip(std::string(body_bytes_max + 1, ' ')), "gzip").error().code,
            Code::resource_exhausted);
  EXPECT_EQ(read_as(packed, "br").error().code, Code::unimplemented);
  packed.resize(packed.size() - 3);
  EXPECT_EQ(read_as(packed, "gzip").error().code, Code::invalid_argument);
}

class Connect : public testing::Test {
 protected:
  const MethodTable methods_ = table();
  const RpcPaths paths_{methods_};
  const ConnectDialect connect_{paths_, body_bytes_max};

  static RawRequest request(
      std::string body, std::string_view type = "application/proto",
      std::vector<net::HeaderView> fields = {}, std::string verb = "POST",
      std::string path = "/coreweave.inference.v1alpha1.GatewayService/GetGateway") {
    fields.push_back({"content-type", type});
    return request_with(std::move(verb), std::move(path), std::move(body), fields);
  }
  Result<MessagePtr> read(RawRequest request) const {
    const auto found = connect_.choose(request);
    CHECK(found.method != nullptr);
    return connect_.read(*found.method, request);
  }
  RawAnswer write(const google::protobuf::Message& message, const RawRequest& request) const {
    MessagePtr copy(message.New());
    copy->CopyFrom(message);
    return connect_.write(Outcome(std::move(copy)), request);
  }
};

TEST_F(Connect, takes_the_paths_of_its_services) {
  EXPECT_TRUE(paths_.knows_service_of("/coreweave.inference.v1alpha1.GatewayService/Anything"));
  EXPECT_FALSE(paths_.knows_service_of("/coreweave.inference.v1alpha1.OtherService/GetGateway"));
  EXPECT_FALSE(paths_.knows_service_of("/v1alpha1/inference/gateways"));
  EXPECT_FALSE(paths_.knows_service_of("/"));
  EXPECT_FALSE(paths_.knows_service_of(""));
}

TEST_F(Connect, reads_an_empty_binary_body_as_an_empty_message) {
  const auto message = read(request(""));
  ASSERT_TRUE(message);
  EXPECT_EQ((*message)->ByteSizeLong(), 0u);
  EXPECT_EQ(read(request("\xff\xff")).error().code, Code::invalid_argument);
  EXPECT_EQ(read(request("", "application/json")).error().code, Code::invalid_argument);
}

TEST_F(Connect, answers_in_the_media_type_of_the_request) {
  pb::GetGatewayResponse response;
  response.mutable_gateway()->mutable_spec()->set_id("g");
  const RawAnswer binary = write(response, request(""));
  EXPECT_EQ(binary.headers.at(0).second, "application/proto");
  EXPECT_EQ(binary.body, response.SerializeAsString());
  const RawAnswer text = write(response, request("{}", "application/json; charset=utf-8"));
  EXPECT_EQ(text.headers.at(0).second, "application/json");
  EXPECT_EQ(text.body, R"({"gateway":{"spec":{"id":"g"}}})");
}

TEST_F(Connect, refuses_other_verbs_media_types_methods_and_versions) {
  // A client without a Connect error in JSON goes by the status, so these are plain.
  const auto other_verb = connect_.choose(request("", "application/proto", {}, "GET")).refusal;
  EXPECT_EQ(other_verb.status, 405);
  EXPECT_EQ(field(other_verb.headers, "Allow"), "POST, OPTIONS");
  const auto other_type = connect_.choose(request("", "text/plain")).refusal;
  EXPECT_EQ(other_type.status, 415);
  EXPECT_EQ(field(other_type.headers, "Accept-Post"), "application/proto, application/json");
  const auto unknown =
      connect_
          .choose(request("", "application/proto", {}, "POST",
                          "/coreweave.inference.v1alpha1.GatewayService/GetGateways"))
          .refusal;
  EXPECT_EQ(unknown.status, 501);
  EXPECT_EQ(json::parse(unknown.body)["code"], "unimplemented");
  EXPECT_EQ(
      read(request("", "application/proto", {{"connect-protocol-version", "2"}})).error().code,
      Code::invalid_argument);
  EXPECT_TRUE(read(request("", "application/proto", {{"connect-protocol-version", "1"}})));
}

TEST_F(Connect, reads_a_get_of_a_method_without_side_effects) {
  MethodTable methods = table();
  for (Method& method : methods) method.has_side_effects = method.name != "GetGateway";
  const RpcPaths paths(methods);
  const ConnectDialect connect(paths, body_bytes_max);
  const auto id_of = [&](const std::string& query) -> std::string {
    RawRequest get = request_with(
        "GET", "/coreweave.inference.v1alpha1.GatewayService/GetGateway?" + query, "", {});
    const auto found = connect.choose(get);
    if (found.method == nullptr) return std::to_string(found.refusal.status);
    const auto message = connect.read(*found.method, get);
    if (!message) return std::string(code_name(message.error().code));
    return static_cast<const pb::GetGatewayRequest&>(**message).id();
  };
  EXPECT_EQ(id_of("encoding=json&message=%7B%22id%22%3A%22a+b%22%7D&connect=v1"), "a b");
  // The message {id: "g"} in binary is 0a 01 67.
  EXPECT_EQ(id_of("connect=v1&base64=1&encoding=proto&message=CgFn"), "g");
  EXPECT_EQ(id_of("encoding=json&message=%7B%7D&connect=v2"), "INVALID_ARGUMENT");
  EXPECT_EQ(id_of("encoding=json"), "INVALID_ARGUMENT");
  EXPECT_EQ(id_of("base64=1&encoding=proto&message=%21"), "INVALID_ARGUMENT");
  EXPECT_EQ(id_of("encoding=json&compression=br&message=%7B%7D"), "UNIMPLEMENTED");
  EXPECT_EQ(id_of("encoding=xml&message=1"), "415");
}

TEST_F(Connect, sends_trailers_as_header_fields_with_a_prefix) {
  Outcome outcome(Error{.code = Code::not_found, .message = "gone"});
  outcome.headers.emplace_back("x-cost", "1");
  outcome.trailers.emplace_back("x-spent", "2");
  const RawAnswer answer = connect_.write(outcome, request(""));
  EXPECT_EQ(field(answer.headers, "x-cost"), "1");
  EXPECT_EQ(field(answer.headers, "Trailer-x-spent"), "2");
  EXPECT_TRUE(answer.trailers.empty());
}

}  // namespace
}  // namespace staithe::wire
