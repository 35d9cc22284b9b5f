#include "wire/json_value.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/encoding.h"

namespace staithe::wire {
namespace {

using nlohmann::json;

// Builds the value from the parser's events; says false to end the parse at the first problem.
class Builder final : public json::json_sax_t {
 public:
  bool null() override { return add({}); }
  bool boolean(bool value) override {
    JsonValue node;
    node.kind = JsonValue::Kind::boolean;
    node.boolean = value;
    return add(std::move(node));
  }
  bool number_integer(number_integer_t value) override { return number(std::to_string(value)); }
  bool number_unsigned(number_unsigned_t value) override { return number(std::to_string(value)); }
  bool number_float(number_float_t, const string_t& text) override { return number(text); }
  bool string(string_t& value) override {
    JsonValue node;
    node.kind = JsonValue::Kind::string;
    node.text = std::move(value);
    return add(std::move(node));
  }
  bool binary(binary_t&) override { return false; }
  bool start_object(std::size_t) override { return open(JsonValue::Kind::object); }
  bool end_object() override { return check_names(stack_.back().members) && close(); }
  bool start_array(std::size_t) override { return open(JsonValue::Kind::array); }
  bool end_array() override { return close(); }
  bool key(string_t& name) override {
    stack_.back().members.push_back({.name = std::move(name), .value = {}});
    return true;
  }
  bool parse_error(std::size_t position, const std::string&, const json::exception&) override {
    if (problem_.empty()) problem_ = fmt::format("the body is not valid JSON at byte {}", position);
    return false;
  }

  const std::string& problem() const { return problem_; }
  JsonValue take() { return std::move(root_); }

 private:
  bool fail(std::string text) {
    problem_ = std::move(text);
    return false;
  }
  // By sorting, because a body can hold hundreds of thousands of names.
  bool check_names(const std::vector<JsonMember>& members) {
    std::vector<std::string_view> names;
    names.reserve(members.size());
    for (const JsonMember& member : members) names.push_back(member.name);
    std::sort(names.begin(), names.end());
    const auto twice = std::adjacent_find(names.begin(), names.end());
    return twice == names.end() || fail(fmt::format("the name \"{}\" is given twice", *twice));
  }
  bool number(std::string text) {
    JsonValue node;
    node.kind = JsonValue::Kind::number;
    node.text = std::move(text);
    return add(std::move(node));
  }
  bool add(JsonValue node) {
    if (stack_.empty()) {
      root_ = std::move(node);
    } else if (stack_.back().kind == JsonValue::Kind::object) {
      stack_.back().members.back().value = std::move(node);
    } else {
      stack_.back().items.push_back(std::move(node));
    }
    return true;
  }
  bool open(JsonValue::Kind kind) {
    if (stack_.size() == json_depth_max) {
      return fail(fmt::format("the JSON is nested deeper than {} levels", json_depth_max));
    }
    stack_.emplace_back().kind = kind;
    return true;
  }
  bool close() {
    JsonValue node = std::move(stack_.back());
    stack_.pop_back();
    return add(std::move(node));
  }

  JsonValue root_;
  std::vector<JsonValue> stack_;
  std::string problem_;
};

}  // namespace

Result<JsonValue> parse_json_value(std::string_view text) {
  if (!is_utf8(text)) {
    return Error{.code = Code::invalid_argument,
                 .message = "the body is not valid UTF-8",
                 .reason = "MALFORMED_JSON"};
  }
  Builder builder;
  if (!json::sax_parse(text.begin(), text.end(), &builder)) {
    return Error{
        .code = Code::invalid_argument,
        .message = builder.problem().empty() ? "the body is not valid JSON" : builder.problem(),
        .reason = "MALFORMED_JSON"};
  }
  return builder.take();
}

}  // namespace staithe::wire
