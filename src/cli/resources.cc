#include "cli/resources.h"

#include <fmt/format.h>

#include "base/encoding.h"
#include "cli/output.h"

namespace staithe::cli {
namespace {

using nlohmann::json;

bool looks_like_uuid(const std::string& text) {
  return text.size() == 36 && text[8] == '-' && text[13] == '-' && text[18] == '-' &&
         text[23] == '-';
}

}  // namespace

Result<std::string> find_id(ApiClient& client, const Kind& kind, const std::string& target) {
  if (looks_like_uuid(target)) return target;
  TRY_ASSIGN(const json answer, client.call("GET", kind.collection));
  for (const json& item : list_of(answer, kind.list_member)) {
    if (equals_ignoring_case(item["spec"].value("name", ""), target)) {
      return item["spec"].value("id", "");
    }
  }
  return Error{.code = Code::not_found,
               .message = fmt::format("there is no {} named \"{}\"", kind.word, target)};
}

Result<Names> names_by_id(ApiClient& client, const Kind& kind) {
  TRY_ASSIGN(const json answer, client.call("GET", kind.collection));
  Names names;
  for (const json& item : list_of(answer, kind.list_member)) {
    names[text_of(item["spec"], "id")] = text_of(item["spec"], "name");
  }
  return names;
}

}  // namespace staithe::cli
