#include "wire/error_drawing.h"

#include <array>
#include <memory>
#include <vector>

#include "base/encoding.h"
#include "google/protobuf/any.pb.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "wire/json_mapper.h"

namespace staithe::wire {
namespace {

template <typename Detail, typename Fill>
void add_detail(std::vector<EncodedDetail>& details, Fill fill) {
  Detail detail;
  fill(detail);
  details.push_back({detail.GetTypeName(), detail.SerializeAsString()});
}

// The detail messages that say in types what the Error says in values.
std::vector<EncodedDetail> details_of(const Error& error) {
  std::vector<EncodedDetail> details;
  if (!error.violations.empty()) {
    add_detail<google::rpc::BadRequest>(details, [&error](google::rpc::BadRequest& detail) {
      for (const FieldViolation& violation : error.violations) {
        auto& drawn = *detail.add_field_violations();
        drawn.set_field(violation.field);
        drawn.set_description(violation.description);
      }
    });
  }
  for (const ResourceReference& resource : error.resources) {
    add_detail<google::rpc::ResourceInfo>(details, [&resource](google::rpc::ResourceInfo& detail) {
      detail.set_resource_type(resource.type);
      detail.set_resource_name(resource.name);
      detail.set_description(resource.description);
    });
  }
  if (!error.preconditions.empty()) {
    using Failure = google::rpc::PreconditionFailure;
    add_detail<Failure>(details, [&error](Failure& detail) {
      for (const PreconditionViolation& violation : error.preconditions) {
        auto& drawn = *detail.add_violations();
        drawn.set_type(violation.type);
        drawn.set_subject(violation.subject);
        drawn.set_description(violation.description);
      }
    });
  }
  if (!error.quotas.empty()) {
    add_detail<google::rpc::QuotaFailure>(details, [&error](google::rpc::QuotaFailure& detail) {
      for (const QuotaViolation& violation : error.quotas) {
        auto& drawn = *detail.add_violations();
        drawn.set_subject(violation.subject);
        drawn.set_description(violation.description);
      }
    });
  }
  details.insert(details.end(), error.details.begin(), error.details.end());
  return details;
}

constexpr std::string_view type_url_base = "type.googleapis.com/";

google::protobuf::Any to_any(const EncodedDetail& detail) {
  google::protobuf::Any any;
  any.set_type_url(std::string(type_url_base) + detail.type);
  any.set_value(detail.bytes);
  return any;
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
  for (const EncodedDetail& detail : details_of(error)) {
    if (!is_first) out += ',';
    is_first = false;
    out += print_json(to_any(detail), Spelling::rest);
  }
  return out + "]}";
}

std::string draw_connect_error(const Error& error) {
  std::string out = "{\"code\":" + json_quote(connect_code(error.code)) +
                    ",\"message\":" + json_quote(error.message);
  const std::vector<EncodedDetail> details = details_of(error);
  if (details.empty()) return out + "}";
  out += ",\"details\":[";
  for (std::size_t i = 0; i < details.size(); ++i) {
    if (i > 0) out += ',';
    out += "{\"type\":" + json_quote(details[i].type) +
           ",\"value\":" + json_quote(unpadded_base64(details[i].bytes)) + "}";
  }
  return out + "]}";
}

std::string draw_binary_status(const Error& error) {
  const std::vector<EncodedDetail> details = details_of(error);
  if (details.empty()) return {};
  google::rpc::Status status;
  status.set_code(static_cast<int>(error.code));
  status.set_message(error.message);
  for (const EncodedDetail& detail : details) {
    *status.add_details() = to_any(detail);
  }
  return status.SerializeAsString();
}

}  // namespace staithe::wire
