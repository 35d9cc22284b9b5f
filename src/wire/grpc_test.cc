#include "wire/grpc.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/encoding.h"
#include "coreweave/inference/v1alpha1/gateway.pb.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "wire/base64_stream.h"
#include "wire/timeouts.h"

namespace staithe::wire {
namespace {

namespace pb = ::coreweave::inference::v1alpha1;
using Flavor = GrpcDialect::Flavor;

constexpr std::size_t message_bytes_max = 64 * 1024;
// {id: "g"} in binary, and in its envelope.
const std::string message_g = "\x0a\x01g";
const std::string envelope_g = std::string("\0\0\0\0\3", 5) + message_g;

MethodTable table() {
  MethodTable methods(2);
  for (Method& method : methods) {
    method.service = "coreweave.inference.v1alpha1.GatewayService";
    method.request = &pb::GetGatewayRequest::default_instance();
    method.response = &pb::GetGatewayResponse::default_instance();
  }
  methods[0].name = "GetGateway";
  methods[1].name = "WatchGateway";
  methods[1].kind = Method::Kind::server_stream;
  return methods;
}

std::string field(const Metadata& fields, std::string_view name) {
  std::string joined;
  for (const auto& [key, value] : fields) {
    if (key == name) joined += (joined.empty() ? "" : ",") + value;
  }
  return joined;
}

class Grpc : public testing::Test {
 protected:
  const MethodTable methods_ = table();
  const RpcPaths paths_{methods_};
  const GrpcDialect grpc_{paths_, Flavor::http2, message_bytes_max};
  const GrpcDialect web_{paths_, Flavor::web, message_bytes_max};

  static RawRequest request(std::string body, std::string_view type = "application/grpc",
                            std::vector<net::HeaderView> fields = {},
                            std::string_view method = "GetGateway") {
    RawRequest made;
    made.method = "POST";
    made.path = "/coreweave.inference.v1alpha1.GatewayService/" + std::string(method);
    made.body = std::move(body);
    net::HeaderList list;
    list.add("content-type", type);
    for (const net::HeaderView& given : fields) list.add(given.name, given.value);
    made.headers = net::OwnedHeaders(list);
    made.media_type = media_type_of(type);
    return made;
  }
  // The id that was read, or the code of the refusal.
  std::string read(const GrpcDialect& dialect, RawRequest given) const {
    const auto found = dialect.choose(given);
    if (found.method == nullptr) return std::to_string(found.refusal.status);
    const auto message = dialect.read(*found.method, given);
    if (!message) return std::string(code_name(message.error().code));
    return static_cast<const pb::GetGatewayRequest&>(**message).id();
  }
  static Outcome gateway(std::string name) {
    auto response = std::make_unique<pb::GetGatewayResponse>();
    response->mutable_gateway()->mutable_spec()->set_name(std::move(name));
    return Outcome(MessagePtr(std::move(response)));
  }
};

TEST_F(Grpc, tells_its_media_types_from_those_of_the_web) {
  EXPECT_TRUE(GrpcDialect::claims(Flavor::http2, "application/grpc"));
  EXPECT_TRUE(GrpcDialect::claims(Flavor::http2, "application/grpc+json"));
  EXPECT_FALSE(GrpcDialect::claims(Flavor::http2, "application/grpc-web+proto"));
  EXPECT_TRUE(GrpcDialect::claims(Flavor::web, "application/grpc-web-text"));
  EXPECT_FALSE(GrpcDialect::claims(Flavor::web, "application/proto"));
  EXPECT_EQ(read(grpc_, request(envelope_g, "application/grpc+thrift")), "415");
  EXPECT_EQ(read(web_, request(envelope_g, "application/grpc-web+thrift")), "415");
}

TEST_F(Grpc, reads_one_message_in_both_formats) {
  EXPECT_EQ(read(grpc_, request(envelope_g)), "g");
  EXPECT_EQ(read(grpc_, request(envelope_g, "application/grpc+proto")), "g");
  const std::string json = R"({"id":"j"})";
  EXPECT_EQ(read(grpc_, request(std::string("\0\0\0\0\xa", 5) + json, "application/grpc+json")),
            "j");
  EXPECT_EQ(read(web_, request(envelope_g, "application/grpc-web")), "g");
  EXPECT_EQ(read(web_, request(base64(envelope_g), "application/grpc-web-text")), "g");
}

TEST_F(Grpc, refuses_what_is_not_one_whole_message) {
  EXPECT_EQ(read(grpc_, request("")), "UNIMPLEMENTED");
  EXPECT_EQ(read(grpc_, request(envelope_g + envelope_g)), "UNIMPLEMENTED");
  EXPECT_EQ(read(grpc_, request(envelope_g.substr(0, 7))), "INVALID_ARGUMENT");
  EXPECT_EQ(read(grpc_, request("ab")), "INVALID_ARGUMENT");
  EXPECT_EQ(read(grpc_, request(std::string("\0\xff\xff\xff\xff", 5))), "RESOURCE_EXHAUSTED");
  EXPECT_EQ(read(grpc_, request(std::string("\4\0\0\0\0", 5))), "INVALID_ARGUMENT");
  EXPECT_EQ(read(grpc_, request(std::string("\0\0\0\0\1\xff", 6))), "INVALID_ARGUMENT");
  EXPECT_EQ(read(web_, request("????", "application/grpc-web-text")), "INVALID_ARGUMENT");
}

TEST_F(Grpc, unpacks_messages_of_a_call_that_names_gzip) {
  std::string packed;
  append_envelope(packed, Envelope::compressed_flag, gzip(message_g));
  EXPECT_EQ(read(grpc_, request(packed, "application/grpc", {{"grpc-encoding", "gzip"}})), "g");
  EXPECT_EQ(read(grpc_, request(envelope_g, "application/grpc", {{"grpc-encoding", "gzip"}})), "g");
  EXPECT_EQ(read(grpc_, request(packed)), "INTERNAL");
  EXPECT_EQ(read(grpc_, request(envelope_g, "application/grpc", {{"grpc-encoding", "br"}})),
            "UNIMPLEMENTED");
  std::string bomb;
  append_envelope(bomb, Envelope::compressed_flag, gzip(std::string(message_bytes_max + 1, 'a')));
  EXPECT_EQ(read(grpc_, request(bomb, "application/grpc", {{"grpc-encoding", "gzip"}})),
            "RESOURCE_EXHAUSTED");
}

TEST_F(Grpc, ends_an_answer_with_its_status_in_the_trailers) {
  Outcome outcome = gateway("edge");
  outcome.headers.emplace_back("x-a", "1");
  outcome.trailers.emplace_back("x-b", "2");
  const RawAnswer answer = grpc_.write(outcome, request(""));
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(field(answer.headers, "content-type"), "application/grpc");
  EXPECT_EQ(field(answer.headers, "x-a"), "1");
  EXPECT_EQ(field(answer.headers, "grpc-encoding"), "");
  EXPECT_EQ(field(answer.trailers, "grpc-status"), "0");
  EXPECT_EQ(field(answer.trailers, "x-b"), "2");
  pb::GetGatewayResponse response;
  ASSERT_TRUE(response.ParseFromString(answer.body.substr(5)));
  EXPECT_EQ(response.gateway().spec().name(), "edge");
}

TEST_F(Grpc, says_an_error_in_its_head_alone) {
  Error error{.code = Code::not_found, .message = "gateway 100% \xc3\xa9 gone\n"};
  error.resources = {{"gateway", "g1", "no gateway with this id"}};
  const RawAnswer answer = grpc_.write_error(error, request(""));
  EXPECT_FALSE(answer.has_body);
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(field(answer.headers, "content-type"), "application/grpc");
  EXPECT_EQ(field(answer.headers, "grpc-status"), "5");
  EXPECT_EQ(field(answer.headers, "grpc-message"), "gateway 100%25 %C3%A9 gone%0A");
  const std::string details = field(answer.headers, "grpc-status-details-bin");
  EXPECT_EQ(details.find('='), std::string::npos);
  google::rpc::Status status;
  ASSERT_TRUE(status.ParseFromString(base64_decode(details).value()));
  EXPECT_EQ(status.code(), 5);
  EXPECT_EQ(status.message(), error.message);
  google::rpc::ResourceInfo info;
  ASSERT_TRUE(status.details(0).UnpackTo(&info));
  EXPECT_EQ(info.resource_name(), "g1");
}

TEST_F(Grpc, keeps_headers_of_a_failed_call_apart_from_its_trailers) {
  Outcome outcome(Error{.code = Code::aborted});
  outcome.headers.emplace_back("x-a", "1");
  outcome.trailers.emplace_back("x-b", "2");
  const RawAnswer answer = grpc_.write(outcome, request(""));
  EXPECT_EQ(field(answer.headers, "x-a"), "1");
  EXPECT_EQ(field(answer.headers, "grpc-status"), "");
  EXPECT_EQ(field(answer.trailers, "grpc-status"), "10");
  EXPECT_EQ(field(answer.trailers, "x-b"), "2");
}

TEST_F(Grpc, compresses_large_messages_for_who_takes_gzip) {
  const Outcome outcome = gateway(std::string(5'000, 'n'));
  const RawAnswer plain = grpc_.write(outcome, request(""));
  EXPECT_EQ(plain.body[0], '\0');
  const RawAnswer packed = grpc_.write(
      outcome, request("", "application/grpc", {{"grpc-accept-encoding", "identity,gzip"}}));
  EXPECT_EQ(field(packed.headers, "grpc-encoding"), "gzip");
  EXPECT_EQ(packed.body[0], '\1');
  EXPECT_EQ(gunzip(packed.body.substr(5), 100'000).value(), plain.body.substr(5));
}

TEST_F(Grpc, puts_trailers_of_the_web_into_the_body) {
  Outcome outcome = gateway("edge");
  outcome.trailers.emplace_back("X-B", "2");
  const RawAnswer answer = web_.write(outcome, request("", "application/grpc-web+proto"));
  EXPECT_TRUE(answer.trailers.empty());
  const std::string trailers = "grpc-status: 0\r\nx-b: 2\r\n";
  const std::string frame =
      std::string("\x80\0\0\0", 4) + static_cast<char>(trailers.size()) + trailers;
  ASSERT_TRUE(answer.body.ends_with(frame));
  EXPECT_EQ(field(answer.headers, "content-type"), "application/grpc-web+proto");

  const RawAnswer text = web_.write(outcome, request("", "application/grpc-web-text"));
  EXPECT_EQ(base64_decode(text.body).value(), answer.body);
}

TEST_F(Grpc, knows_a_missing_method_and_a_wrong_verb) {
  RawRequest unknown = request(envelope_g, "application/grpc", {}, "GetGateways");
  EXPECT_EQ(field(grpc_.choose(unknown).refusal.headers, "grpc-status"), "12");
  RawRequest get = request("");
  get.method = "GET";
  EXPECT_EQ(grpc_.choose(get).refusal.status, 405);
}

TEST_F(Grpc, streams_messages_in_envelopes_until_the_end) {
  for (const bool is_text : {false, true}) {
    const RawRequest given =
        request("", is_text ? "application/grpc-web-text" : "application/grpc-web");
    const auto stream = web_.open(methods_[1], given);
    const std::string sent = is_text ? base64(envelope_g) : envelope_g;
    std::size_t count = 0;
    for (const char c : sent) {
      ASSERT_TRUE(stream->add({&c, 1}));
      const auto message = stream->next();
      ASSERT_TRUE(message);
      count += *message != nullptr;
    }
    EXPECT_EQ(count, 1u);
    EXPECT_TRUE(stream->take_end());
    pb::GetGatewayResponse response;
    response.mutable_gateway()->mutable_spec()->set_name("ab");
    std::string body = stream->write(response);
    body += stream->write(response);
    body += stream->end({}, {}).body;
    Base64Decoder decoder;
    const std::string plain = is_text ? decoder.take(body).value() : body;
    EXPECT_TRUE(decoder.is_whole());
    const std::string message = response.SerializeAsString();
    const std::string one =
        std::string("\0\0\0\0", 4) + static_cast<char>(message.size()) + message;
    EXPECT_TRUE(plain.starts_with(one + one + "\x80"));
  }
}

TEST_F(Grpc, wants_one_message_of_a_client_that_may_send_one) {
  const auto open = [this] { return grpc_.open(methods_[1], request("")); };
  EXPECT_EQ(open()->take_end().error().code, Code::unimplemented);
  const auto two = open();
  ASSERT_TRUE(two->add(envelope_g + envelope_g));
  EXPECT_NE(two->next().value(), nullptr);
  EXPECT_EQ(two->next().error().code, Code::unimplemented);
  const auto cut = open();
  ASSERT_TRUE(cut->add(envelope_g.substr(0, 6)));
  EXPECT_EQ(cut->next().value(), nullptr);
  EXPECT_EQ(cut->take_end().error().code, Code::invalid_argument);
}

TEST(Timeouts, read_the_units_of_grpc_and_the_milliseconds_of_connect) {
  using namespace std::chrono_literals;
  const auto grpc = [](std::string_view text) { return read_grpc_timeout(text).value().value(); };
  EXPECT_EQ(grpc("1H"), 1h);
  EXPECT_EQ(grpc("2M"), 2min);
  EXPECT_EQ(grpc("3S"), 3s);
  EXPECT_EQ(grpc("4m"), 4ms);
  EXPECT_EQ(grpc("5u"), 5us);
  EXPECT_EQ(grpc("99999999n"), 99'999'999ns);
  EXPECT_GT(grpc("99999999H"), 8'000h);
  for (const std::string_view bad :
       {"", "1", "S", "1s", "123456789S", "-1S", "1.5S", " 1S", "1S "}) {
    EXPECT_FALSE(read_grpc_timeout(bad)) << bad;
  }
  EXPECT_EQ(read_connect_timeout("9999999999").value().value(), 9'999'999'999ms);
  for (const std::string_view bad : {"", "12345678901", "1s", "-1", "+1"}) {
    EXPECT_FALSE(read_connect_timeout(bad)) << bad;
  }
  EXPECT_FALSE(read_grpc_timeout(std::nullopt).value().has_value());
}

TEST(Base64Decoder, reads_parts_that_were_encoded_by_themselves) {
  const std::string text = base64("a") + base64("bcd") + base64("ef");
  Base64Decoder whole;
  EXPECT_EQ(whole.take(text).value(), "abcdef");
  Base64Decoder pieces;
  std::string plain;
  for (const char c : text) plain += pieces.take({&c, 1}).value();
  EXPECT_EQ(plain, "abcdef");
  EXPECT_TRUE(pieces.is_whole());
  ASSERT_TRUE(pieces.take("YQ"));
  EXPECT_FALSE(pieces.is_whole());
  EXPECT_FALSE(pieces.take("*="));
}

}  // namespace
}  // namespace staithe::wire
