#include "golden/dialects.h"

#include <fmt/format.h>
#include <google/protobuf/util/json_util.h>

#include <memory>

#include "base/encoding.h"
#include "golden/grpc_answer.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"

namespace staithe::tests {
namespace {

using google::protobuf::Message;
using nlohmann::json;

Error bad(std::string message) {
  return Error{.code = Code::invalid_argument, .message = std::move(message)};
}

Result<std::string> to_binary(const wire::Method& method, const std::string& text) {
  const std::unique_ptr<Message> message(method.request->New());
  google::protobuf::util::JsonParseOptions options;
  options.ignore_unknown_fields = true;
  const auto status = google::protobuf::util::JsonStringToMessage(text, message.get(), options);
  if (!status.ok()) return bad("not a request in binary: " + status.ToString());
  return message->SerializeAsString();
}

Result<json> to_json(const Message& prototype, const std::string& bytes) {
  const std::unique_ptr<Message> message(prototype.New());
  if (!message->ParseFromString(bytes))
    return bad("the answer is not a " + prototype.GetTypeName());
  std::string text;
  const auto status = google::protobuf::util::MessageToJsonString(*message, &text);
  if (!status.ok()) return bad(status.ToString());
  return json::parse(text);
}

void add_to_query(std::string& target, const std::string& name, const json& value) {
  if (value.is_array()) {
    for (const json& item : value) add_to_query(target, name, item);
    return;
  }
  const std::string text = value.is_string() ? value.get<std::string>() : value.dump();
  target += fmt::format("{}{}={}", target.find('?') == std::string::npos ? "?" : "&", name,
                        percent_encode(text));
}

// {id} comes out of the message; what is left is the query of a GET and the body of the others.
Result<net::BlockingRequest> draw_rest(const wire::Method& method, const std::string& text) {
  net::BlockingRequest request;
  request.method = method.verb;
  request.target = method.path;
  const json message = json::parse(text, nullptr, false);
  const auto id_at = request.target.find("{id}");
  if (id_at != std::string::npos) {
    if (!message.is_object() || !message.contains("id")) return bad("REST needs an id in the path");
    request.target.replace(id_at, 4, percent_encode(message["id"].get<std::string>()));
  }
  if (method.verb == "GET" || method.verb == "DELETE") {
    for (const auto& [name, value] : message.items()) {
      if (name != "id") add_to_query(request.target, name, value);
    }
  } else {
    request.headers.emplace_back("Content-Type", "application/json");
    request.body = text;
  }
  return request;
}

std::string code_from_number(int number) {
  return number >= 0 && number <= 16 ? std::string(code_name(static_cast<Code>(number)))
                                     : fmt::format("code {}", number);
}

constexpr std::string_view type_url_base = "type.googleapis.com/";

// One detail of an error, drawn as REST draws it.
Result<json> draw_detail(const std::string& type, const std::string& bytes) {
  const auto* descriptor =
      google::protobuf::DescriptorPool::generated_pool()->FindMessageTypeByName(type);
  if (descriptor == nullptr) return bad("unreadable detail " + type);
  TRY_ASSIGN(
      json drawn,
      to_json(*google::protobuf::MessageFactory::generated_factory()->GetPrototype(descriptor),
              bytes));
  drawn["@type"] = std::string(type_url_base) + type;
  return drawn;
}

Result<Answer> read_connect_error(const json& body) {
  Answer answer;
  answer.code = to_upper(body.at("code").get<std::string>());
  if (answer.code == "CANCELED") answer.code = "CANCELLED";
  answer.body = {{"message", body.value("message", "")}, {"details", json::array()}};
  for (const json& detail : body.value("details", json::array())) {
    const auto bytes = base64_decode(detail.at("value").get<std::string>());
    if (!bytes) return bad("a detail is not base64");
    TRY_ASSIGN(json drawn, draw_detail(detail.at("type").get<std::string>(), *bytes));
    answer.body["details"].push_back(std::move(drawn));
  }
  return answer;
}

// The status in its trailers has to say what the details' own status says.
Result<Answer> read_grpc_error(const GrpcAnswer& error) {
  Answer answer{.code = code_from_number(error.status),
                .body = {{"message", error.message}, {"details", json::array()}}};
  if (!error.messages.empty()) return bad("a message before an error");
  if (!error.details) return answer;
  google::rpc::Status status;
  if (!status.ParseFromString(*error.details)) return bad("the details are no google.rpc.Status");
  if (status.code() != error.status || status.message() != error.message) {
    return bad("grpc-status-details-bin says something else: " + status.ShortDebugString());
  }
  for (const google::protobuf::Any& detail : status.details()) {
    if (!detail.type_url().starts_with(type_url_base)) return bad(detail.type_url());
    TRY_ASSIGN(json drawn,
               draw_detail(detail.type_url().substr(type_url_base.size()), detail.value()));
    answer.body["details"].push_back(std::move(drawn));
  }
  return answer;
}

Result<Answer> read_grpc_answer(GrpcFlavor flavor, const wire::Method& method,
                                const HttpAnswer& http) {
  TRY_ASSIGN(const GrpcAnswer answer, read_grpc(flavor, http));
  if (answer.status != 0) return read_grpc_error(answer);
  if (answer.messages.size() != 1) {
    return bad(fmt::format("a call was answered with {} messages", answer.messages.size()));
  }
  TRY_ASSIGN(json body, to_json(*method.response, answer.messages.front()));
  return Answer{.code = "OK", .body = std::move(body)};
}

}  // namespace

std::string_view dialect_name(Dialect dialect) {
  switch (dialect) {
    case Dialect::rest:
      return "rest";
    case Dialect::connect_json:
      return "connect_json";
    case Dialect::connect_binary:
      return "connect_binary";
    case Dialect::grpc:
      return "grpc";
    case Dialect::grpc_web:
      return "grpc_web";
  }
  return "";
}

HttpVersion http_version(Dialect dialect) {
  return dialect == Dialect::grpc ? HttpVersion::http2 : HttpVersion::http1;
}

Result<net::BlockingRequest> draw_request(Dialect dialect, const wire::Method& method,
                                          const std::string& text) {
  // Makes sure that the error catalogue is linked, which details are read with.
  google::rpc::BadRequest::default_instance();
  if (dialect == Dialect::rest) return draw_rest(method, text);
  net::BlockingRequest request;
  request.method = "POST";
  request.target = "/" + method.service + "/" + method.name;
  if (dialect == Dialect::connect_json) {
    request.headers = {{"Connect-Protocol-Version", "1"}, {"Content-Type", "application/json"}};
    request.body = text;
    return request;
  }
  TRY_ASSIGN(request.body, to_binary(method, text));
  if (dialect == Dialect::connect_binary) {
    request.headers = {{"Connect-Protocol-Version", "1"}, {"Content-Type", "application/proto"}};
  } else if (dialect == Dialect::grpc) {
    request.headers = {{"TE", "trailers"}, {"Content-Type", "application/grpc+proto"}};
    request.body = envelop(request.body);
  } else {
    request.headers = {{"X-Grpc-Web", "1"}, {"Content-Type", "application/grpc-web+proto"}};
    request.body = envelop(request.body);
  }
  return request;
}

Result<Answer> read_answer(Dialect dialect, const wire::Method& method, const HttpAnswer& answer) {
  if (dialect == Dialect::grpc) return read_grpc_answer(GrpcFlavor::http2, method, answer);
  if (dialect == Dialect::grpc_web) return read_grpc_answer(GrpcFlavor::web, method, answer);
  if (answer.status == 200 && dialect == Dialect::connect_binary) {
    TRY_ASSIGN(json body, to_json(*method.response, answer.body));
    return Answer{.code = "OK", .body = std::move(body)};
  }
  json body = json::parse(answer.body, nullptr, false);
  if (!body.is_object()) {
    return bad(fmt::format("HTTP {} with a body that is no JSON object: {}", answer.status,
                           answer.body.substr(0, 200)));
  }
  if (answer.status == 200) return Answer{.code = "OK", .body = std::move(body)};
  if (dialect != Dialect::rest) return read_connect_error(body);
  if (!body.contains("details") || !body["details"].is_array()) return bad("no details list");
  return Answer{.code = code_from_number(body.value("code", -1)), .body = std::move(body)};
}

}  // namespace staithe::tests
