#include <string>

#include "base/encoding.h"
#include "coreweave/inference/v1alpha1/gateway.pb.h"
#include "fuzz_input.h"
#include "wire/json_value.h"
#include "wire/rest.h"

namespace staithe::fuzz {
namespace {

namespace pb = ::coreweave::inference::v1alpha1;

wire::Method method(std::string verb, std::string path, const google::protobuf::Message& request) {
  wire::Method made;
  made.verb = std::move(verb);
  made.path = std::move(path);
  made.request = &request;
  return made;
}

wire::MethodTable table() {
  return {method("GET", "/gateways", pb::ListGatewaysRequest::default_instance()),
          method("GET", "/gateways/{id}", pb::GetGatewayRequest::default_instance()),
          method("PATCH", "/gateways/{id}", pb::UpdateGatewayRequest::default_instance())};
}

// An error repeats what was sent; whatever that was, the answer is JSON.
void check_json(const wire::RawAnswer& answer) {
  CHECK_THAT(wire::parse_json_value(answer.body), answer.body);
}

}  // namespace

// "VERB TARGET", and a body after a line's end.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const wire::MethodTable methods = table();
  static const wire::RestDialect rest(methods, wire::RestErrorCode::rpc, 100'000);
  const std::string_view text = text_of(data, size);
  const auto line_end = std::min(text.find('\n'), text.size());
  const std::string_view line = text.substr(0, line_end);
  const auto space = std::min(line.find(' '), line.size());

  wire::RawRequest request;
  request.method = line.substr(0, space);
  const std::string_view target = line.substr(std::min(space + 1, line.size()));
  request.path = target.substr(0, target.find('?'));
  if (request.path.size() < target.size()) request.query = target.substr(request.path.size() + 1);
  if (line_end < text.size()) request.body = text.substr(line_end + 1);
  request.content_type = "application/json";

  const wire::Dialect::Chosen chosen = rest.choose(request);
  if (chosen.method == nullptr) {
    check_json(chosen.refusal);
    return 0;
  }
  const auto message = rest.read(*chosen.method, request);
  if (!message) {
    check_json(rest.write_error(message.error()));
    return 0;
  }
  check_json(rest.write(**message, request));
  const auto* id = (*message)->GetDescriptor()->FindFieldByName("id");
  if (id == nullptr) return 0;
  const auto decoded = percent_decode(request.path.substr(request.path.rfind('/') + 1));
  CHECK(decoded == (*message)->GetReflection()->GetString(**message, id));
  return 0;
}

}  // namespace staithe::fuzz
