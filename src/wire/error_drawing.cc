#include "wire/error_drawing.h"

#include <array>
#include <memory>
#include <vector>

#include "base/encoding.h"
#include "google/rpc/error_details.pb.h"
#include "wire/json_mapper.h"

namespace staithe::wire {
namespace {

using Details = std::vector<std::unique_ptr<google::protobuf::Message>>;

// The detail messages that say in types what the Error says in values.
Details details_of(const Error& error) {
  Details details;
  if (!error.violations.empty()) {
    auto detail = std::make_unique<google::rpc::BadRequest>();
    for (const FieldViolation& violation : error.violations) {
      auto& drawn = *detail->add_field_violations();
      drawn.set_field(violation.field);
      drawn.set_description(violation.description);
    }
    details.push_back(std::move(detail));
  }
  for (const ResourceReference& resource : error.resources) {
    auto detail = std::make_unique<google::rpc::ResourceInfo>();
    detail->set_resource_type(resource.type);
    detail->set_resource_name(resource.name);
    detail->set_description(resource.description);
    details.push_back(std::move(detail));
  }
  if (!error.preconditions.empty()) {
    auto detail = std::make_unique<google::rpc::PreconditionFailure>();
    for (const PreconditionViolation& violation : error.preconditions) {
      auto& drawn = *detail->add_violations();
      drawn.set_type(violation.type);
      drawn.set_subject(violation.subject);
      drawn.set_description(violation.description);
    }
    details.push_back(std::move(detail));
  }
  if (!error.quotas.empty()) {
    auto detail = std::make_unique<google::rpc::QuotaFailure>();
    for (const QuotaViolation& violation : error.quotas) {
      auto& drawn = *detail->add_violations();
      drawn.set_subject(violation.subject);
      drawn.set_description(violation.description);
    }
    details.push_back(std::move(detail));
  }
  return details;
}

struct CodeRow {
  std::uint16_t status;
  std::string_view connect;
};

const CodeRow& row_of(Code code) {
  static constexpr std::array<CodeRow, 17> rows = {{{200, "ok"},
                                                    {499, "canceled"},
                                                    {500, "unknown"},
                                                    {400, "invalid_argument"},
                                                    {504, "deadline_exceeded"},
                                                    {404, "not_found"},
                                                    {409, "already_exists"},
                                                    {403, "permission_denied"},
                                                    {429, "resource_exhausted"},
                                                    {400, "failed_precondition"},
                                                    {409, "aborted"},
                                                    {400, "out_of_range"},
                                                    {501, "unimplemented"},
                                                    {500, "internal"},
                                                    {503, "unavailable"},
                                                    {500, "data_loss"},
                                                    {401, "unauthenticated"}}};
  return rows[static_cast<std::size_t>(code)];
}

}  // namespace

std::uint16_t http_status(Code code) {
  return row_of(code).status;
}

std::string_view connect_code(Code code) {
  return row_of(code).connect;
}

std::string draw_rest_error(const Error& error, RestErrorCode style) {
  const int number =
      style == RestErrorCode::http ? http_status(error.code) : static_cast<int>(error.code);
  std::string out = "{\"code\":" + std::to_string(number) +
                    ",\"message\":" + json_quote(error.message) + ",\"details\":[";
  bool is_first = true;
  for (const auto& detail : details_of(error)) {
    // An Any in JSON form: the message's own members behind its type.
    std::string drawn = print_json(*detail, Spelling::rest);
    drawn.insert(1, "\"@type\":" + json_quote("type.googleapis.com/" + detail->GetTypeName()) +
                        (drawn.size() > 2 ? "," : ""));
    if (!is_first) out += ',';
    is_first = false;
    out += drawn;
  }
  return out + "]}";
}

std::string draw_connect_error(const Error& error) {
  std::string out = "{\"code\":" + json_quote(connect_code(error.code)) +
                    ",\"message\":" + json_quote(error.message);
  const Details details = details_of(error);
  if (details.empty()) return out + "}";
  out += ",\"details\":[";
  for (std::size_t i = 0; i < details.size(); ++i) {
    if (i > 0) out += ',';
    out += "{\"type\":" + json_quote(details[i]->GetTypeName()) +
           ",\"value\":" + json_quote(base64(details[i]->SerializeAsString())) + "}";
  }
  return out + "]}";
}

}  // namespace staithe::wire
