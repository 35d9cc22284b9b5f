#include "wire/reflection.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/descriptor.pb.h>

#include <string>

#include "coreweave/inference/v1alpha1/gateway.pb.h"
#include "grpc/reflection/v1/reflection.pb.h"
#include "grpc/reflection/v1alpha/reflection.pb.h"
#include "wire/router_test_kit.h"

namespace staithe::wire {
namespace {

using google::protobuf::FileDescriptorProto;
using testing::enveloped;
using testing::Protocol;
using testing::read_stream;
using testing::StreamView;

namespace v1 = ::grpc::reflection::v1;
namespace v1alpha = ::grpc::reflection::v1alpha;

const std::string api = "coreweave.inference.v1alpha1.";
const std::string gateway_file = "coreweave/inference/v1alpha1/gateway.proto";

struct V1 {
  using Request = v1::ServerReflectionRequest;
  using Response = v1::ServerReflectionResponse;
  static constexpr const char* service = "grpc.reflection.v1.ServerReflection";
};
struct V1Alpha {
  using Request = v1alpha::ServerReflectionRequest;
  using Response = v1alpha::ServerReflectionResponse;
  static constexpr const char* service = "grpc.reflection.v1alpha.ServerReflection";
};

// A client that knows nothing but the protocol, and has no token.
template <typename Version>
class Reflection : public testing::RouterTest {
 protected:
  using Request = typename Version::Request;
  using Response = typename Version::Response;

  Reflection() {
    MethodTable table(1);
    table[0].service = api + "GatewayService";
    table[0].name = "GetGateway";
    table[0].request = &::coreweave::inference::v1alpha1::GetGatewayRequest::default_instance();
    table[0].response = &::coreweave::inference::v1alpha1::GetGatewayResponse::default_instance();
    add_reflection(table);
    start(std::move(table));
  }

  StreamView ask_all(const std::vector<Request>& requests) {
    std::string body;
    for (const Request& request : requests) body += enveloped(request);
    const std::string path = std::string("/") + Version::service + "/ServerReflectionInfo";
    const auto id = peer_->request("POST", path, body, testing::stream_fields(Protocol::grpc));
    return read_stream(Protocol::grpc, peer_->wait(loop_, id));
  }
  static Response parse(const std::string& bytes) {
    Response response;
    EXPECT_TRUE(response.ParseFromString(bytes));
    return response;
  }
  Response ask(const Request& request) {
    const StreamView seen = ask_all({request});
    EXPECT_EQ(seen.code, "OK");
    EXPECT_EQ(seen.messages.size(), 1u);
    return parse(seen.messages.at(0));
  }
  static Request by_name(const std::string& name) {
    Request request;
    request.set_file_by_filename(name);
    return request;
  }
  static Request by_symbol(const std::string& symbol) {
    Request request;
    request.set_file_containing_symbol(symbol);
    return request;
  }
  static Request by_extension(const std::string& type, int number) {
    Request request;
    request.mutable_file_containing_extension()->set_containing_type(type);
    request.mutable_file_containing_extension()->set_extension_number(number);
    return request;
  }
  // The first file's name, or the number of the error.
  std::string first_file(const Request& request) {
    const Response response = ask(request);
    if (response.has_error_response()) {
      EXPECT_FALSE(response.error_response().error_message().empty());
      return std::to_string(response.error_response().error_code());
    }
    const auto& files = response.file_descriptor_response().file_descriptor_proto();
    FileDescriptorProto file;
    EXPECT_TRUE(!files.empty() && file.ParseFromString(files[0]));
    return file.name();
  }
};

using Versions = ::testing::Types<V1, V1Alpha>;
TYPED_TEST_SUITE(Reflection, Versions);

TYPED_TEST(Reflection, lists_the_services_of_the_table_and_itself) {
  typename TypeParam::Request request;
  request.set_host("a.example.com");
  request.set_list_services("*");
  const auto response = this->ask(request);
  EXPECT_EQ(response.valid_host(), "a.example.com");
  EXPECT_EQ(response.original_request().list_services(), "*");
  std::vector<std::string> names;
  for (const auto& service : response.list_services_response().service()) {
    names.push_back(service.name());
  }
  EXPECT_EQ(names,
            (std::vector<std::string>{api + "GatewayService", V1::service, V1Alpha::service}));
}

TYPED_TEST(Reflection, finds_a_file_by_its_name) {
  EXPECT_EQ(this->first_file(this->by_name(gateway_file)), gateway_file);
  EXPECT_EQ(this->first_file(this->by_name("google/protobuf/descriptor.proto")),
            "google/protobuf/descriptor.proto");
  EXPECT_EQ(this->first_file(this->by_name("nothing.proto")), "5");
  EXPECT_EQ(this->first_file(this->by_name("")), "5");
}

TYPED_TEST(Reflection, finds_the_file_of_whatever_has_a_name) {
  for (const char* symbol :
       {"GatewayService", "GatewayService.GetGateway", "GatewaySpec", "GatewaySpec.name"}) {
    EXPECT_EQ(this->first_file(this->by_symbol(api + symbol)), gateway_file) << symbol;
  }
  EXPECT_EQ(this->first_file(this->by_symbol(api + "CAPACITY_TYPE_MANAGED")),
            "coreweave/inference/v1alpha1/capacity_claim.proto")
      << "an enum's values stand beside it";
  EXPECT_EQ(this->first_file(this->by_symbol(TypeParam::service)),
            TypeParam::Request::descriptor()->file()->name());
  for (const char* symbol : {"", ".", "..", "GatewayService", "coreweave", "a..b", "\n"}) {
    const std::string found = this->first_file(this->by_symbol(symbol));
    EXPECT_EQ(found, std::string(symbol) == "coreweave" ? found : "5") << symbol;
  }
}

TYPED_TEST(Reflection, finds_extensions) {
  const int http = 72295728;  // google.api.http
  EXPECT_EQ(this->first_file(this->by_extension("google.protobuf.MethodOptions", http)),
            "google/api/annotations.proto");
  EXPECT_EQ(this->first_file(this->by_extension("google.protobuf.MethodOptions", 1)), "5");
  EXPECT_EQ(this->first_file(this->by_extension("google.protobuf.Nothing", http)), "5");
  typename TypeParam::Request request;
  request.set_all_extension_numbers_of_type("google.protobuf.MethodOptions");
  const auto numbers = this->ask(request).all_extension_numbers_response();
  EXPECT_EQ(numbers.base_type_name(), "google.protobuf.MethodOptions");
  EXPECT_NE(std::count(numbers.extension_number().begin(), numbers.extension_number().end(), http),
            0);
  request.set_all_extension_numbers_of_type("google.protobuf.Nothing");
  EXPECT_EQ(this->ask(request).error_response().error_code(), 5);
}

TYPED_TEST(Reflection, sends_all_that_a_file_needs_so_that_it_can_be_linked) {
  const auto response = this->ask(this->by_symbol(api + "GatewayService"));
  const auto& files = response.file_descriptor_response().file_descriptor_proto();
  ASSERT_GT(files.size(), 1);
  google::protobuf::DescriptorPool pool;
  std::set<std::string> names;
  for (auto bytes = files.rbegin(); bytes != files.rend(); ++bytes) {
    FileDescriptorProto file;
    ASSERT_TRUE(file.ParseFromString(*bytes));
    EXPECT_TRUE(names.insert(file.name()).second) << file.name() << " comes twice";
    ASSERT_NE(pool.BuildFile(file), nullptr) << file.name() << " needs what comes before it";
  }
  const auto* service = pool.FindServiceByName(api + "GatewayService");
  ASSERT_NE(service, nullptr);
  EXPECT_EQ(service->FindMethodByName("GetGateway")->input_type()->full_name(),
            api + "GetGatewayRequest");
}

TYPED_TEST(Reflection, answers_several_requests_of_one_stream_in_their_order) {
  const StreamView seen =
      this->ask_all({this->by_name("nothing.proto"), this->by_name(gateway_file),
                     typename TypeParam::Request(), this->by_symbol(api + "GatewayService")});
  EXPECT_EQ(seen.code, "OK");
  ASSERT_EQ(seen.messages.size(), 4u);
  EXPECT_EQ(this->parse(seen.messages[0]).error_response().error_code(), 5);
  EXPECT_TRUE(this->parse(seen.messages[1]).has_file_descriptor_response());
  EXPECT_EQ(this->parse(seen.messages[2]).error_response().error_code(), 3);
  EXPECT_EQ(this->parse(seen.messages[3]).original_request().file_containing_symbol(),
            api + "GatewayService");
}

}  // namespace
}  // namespace staithe::wire
