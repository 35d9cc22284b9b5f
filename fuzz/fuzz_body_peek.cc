#include <string>
#include <variant>

#include "fuzz_input.h"
#include "gateway/body_peek.h"

namespace staithe::fuzz {
namespace {

constexpr std::string_view content_type = "multipart/form-data; boundary=b";
constexpr std::string_view replacement = "a \"new\" name";

// A name that was found can be replaced, and then the new one is found and nothing else moved.
template <typename Find, typename Replace>
void check(std::string body, Find find, Replace replace, std::string_view name) {
  const gateway::Peeked found = find(body);
  const auto* field = std::get_if<gateway::ModelField>(&found);
  if (field == nullptr) return;
  CHECK(!field->name.empty());
  CHECK(field->begin < field->end && field->end <= body.size());
  const std::string before = body.substr(0, field->begin);
  const std::string after = body.substr(field->end);
  replace(body, *field, name);
  CHECK(body.starts_with(before) && body.ends_with(after));
  const gateway::Peeked again = find(body);
  const auto* second = std::get_if<gateway::ModelField>(&again);
  CHECK(second != nullptr && second->name == name && second->begin == field->begin);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static gateway::JsonPeek json;
  check(
      std::string(text_of(data, size)),
      [](std::string& body) {
        gateway::Prefix prompt;
        gateway::Peeked found = json.find_model(body, nullptr, &prompt);
        CHECK(prompt.size_bytes() <= body.size());
        CHECK(gateway::Prefix::bytes_before(prompt.hashes().size()) <= prompt.size_bytes());
        return found;
      },
      gateway::replace_json_model, replacement);
  check(
      std::string(text_of(data, size)),
      [](std::string& body) { return gateway::find_model_in_multipart(body, content_type); },
      gateway::replace_multipart_model, "new");
  return 0;
}

}  // namespace staithe::fuzz
