#include "golden/dialects.h"

#include <fmt/format.h>
#include <google/protobuf/util/json_util.h>

#include <memory>

#include "base/encoding.h"
#include "google/rpc/error_details.pb.h"

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

// One detail of a Connect error, drawn as REST draws it.
Result<json> read_detail(const json& detail) {
  const std::string type = detail.at("type").get<std::string>();
  const auto* descriptor =
      google::protobuf::DescriptorPool::generated_pool()->FindMessageTypeByName(type);
  const auto bytes = base64_decode(detail.at("value").get<std::string>());
  if (descriptor == nullptr || !bytes) return bad("unreadable detail " + type);
  TRY_ASSIGN(
      json drawn,
      to_json(*google::protobuf::MessageFactory::generated_factory()->GetPrototype(descriptor),
              *bytes));
  drawn["@type"] = "type.googleapis.com/" + type;
  return drawn;
}

Result<Answer> read_connect_error(const json& body) {
  Answer answer;
  answer.code = to_upper(body.at("code").get<std::string>());
  if (answer.code == "CANCELED") answer.code = "CANCELLED";
  answer.body = {{"message", body.value("message", "")}, {"details", json::array()}};
  for (const json& detail : body.value("details", json::array())) {
    TRY_ASSIGN(json drawn, read_detail(detail));
    answer.body["details"].push_back(std::move(drawn));
  }
  return answer;
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
  }
  return "";
}

Result<net::BlockingRequest> draw_request(Dialect dialect, const wire::Method& method,
                                          const std::string& text) {
  // Makes sure that the error catalogue is linked, which details are read with.
  google::rpc::BadRequest::default_instance();
  if (dialect == Dialect::rest) return draw_rest(method, text);
  net::BlockingRequest request;
  request.method = "POST";
  request.target = "/" + method.service + "/" + method.name;
  request.headers.emplace_back("Connect-Protocol-Version", "1");
  if (dialect == Dialect::connect_json) {
    request.headers.emplace_back("Content-Type", "application/json");
    request.body = text;
  } else {
    request.headers.emplace_back("Content-Type", "application/proto");
    TRY_ASSIGN(request.body, to_binary(method, text));
  }
  return request;
}

Result<Answer> read_answer(Dialect dialect, const wire::Method& method,
                           const net::BlockingAnswer& answer) {
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
