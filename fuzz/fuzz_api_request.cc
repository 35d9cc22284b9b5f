#include <algorithm>
#include <string>
#include <utility>

#include "base/encoding.h"
#include "coreweave/inference/v1alpha1/gateway.pb.h"
#include "fuzz_input.h"
#include "wire/connect.h"
#include "wire/json_value.h"
#include "wire/rest.h"

namespace staithe::fuzz {
namespace {

namespace pb = ::coreweave::inference::v1alpha1;

wire::Method method(std::string name, std::string verb, std::string path,
                    const google::protobuf::Message& request) {
  wire::Method made;
  made.service = "s";
  made.name = std::move(name);
  made.verb = std::move(verb);
  made.path = std::move(path);
  made.has_side_effects = made.verb != "GET";
  made.request = &request;
  return made;
}

wire::MethodTable table() {
  return {
      method("List", "GET", "/gateways", pb::ListGatewaysRequest::default_instance()),
      method("Get", "GET", "/gateways/{id}", pb::GetGatewayRequest::default_instance()),
      method("Update", "PATCH", "/gateways/{id}", pb::UpdateGatewayRequest::default_instance())};
}

// "VERB TARGET", and a body after a line's end.
wire::RawRequest request_of(std::string_view text) {
  const auto line_end = std::min(text.find('\n'), text.size());
  const std::string_view line = text.substr(0, line_end);
  const auto space = std::min(line.find(' '), line.size());
  const std::string_view target = line.substr(std::min(space + 1, line.size()));
  wire::RawRequest request;
  request.method = line.substr(0, space);
  request.path = target.substr(0, target.find('?'));
  if (request.path.size() < target.size()) request.query = target.substr(request.path.size() + 1);
  if (line_end < text.size()) request.body = text.substr(line_end + 1);
  net::HeaderList headers;
  headers.add("content-type", "application/json");
  request.headers = net::OwnedHeaders(headers);
  return request;
}

// An answer repeats what was sent; whatever that was, it is JSON if it says so.
void check_json(const wire::RawAnswer& answer) {
  for (const auto& [name, value] : answer.headers) {
    if (name == "Content-Type" && value == "application/json") {
      CHECK_THAT(wire::parse_json_value(answer.body), answer.body);
    }
  }
}

void check(const wire::Dialect& dialect, wire::RawRequest request) {
  const wire::Dialect::Chosen chosen = dialect.choose(request);
  if (chosen.method == nullptr) return check_json(chosen.refusal);
  const std::string path = request.path;
  auto message = dialect.read(*chosen.method, request);
  if (!message) return check_json(dialect.write_error(message.error(), request));
  const auto* id = (*message)->GetDescriptor()->FindFieldByName("id");
  if (dialect.name() == "rest" && id != nullptr) {
    const auto decoded = percent_decode(std::string_view(path).substr(path.rfind('/') + 1));
    CHECK(decoded == (*message)->GetReflection()->GetString(**message, id));
  }
  check_json(dialect.write(wire::Outcome(*std::move(message)), request));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const wire::MethodTable methods = table();
  static const wire::RpcPaths paths(methods);
  static const wire::RestDialect rest(methods, wire::RestErrorCode::rpc, 100'000);
  static const wire::ConnectDialect connect(paths, 100'000);
  const std::string_view text = text_of(data, size);
  check(rest, request_of(text));
  check(connect, request_of(text));
  return 0;
}

}  // namespace staithe::fuzz
