#include "golden/answer_check.h"

#include <fmt/format.h>

#include <optional>

namespace staithe::tests {
namespace {

using nlohmann::json;

// "a.b[2].c" of a message; map keys may hold anything but dots and brackets.
std::optional<json> find(const json& root, const std::string& path) {
  const json* at = &root;
  std::size_t i = 0;
  while (i < path.size()) {
    if (path[i] == '.') ++i;
    if (path[i] == '[') {
      const auto close = path.find(']', i);
      const auto index = std::stoul(path.substr(i + 1, close - i - 1));
      if (!at->is_array() || index >= at->size()) return std::nullopt;
      at = &(*at)[index];
      i = close + 1;
      continue;
    }
    const auto end = path.find_first_of(".[", i);
    const std::string name = path.substr(i, end == std::string::npos ? end : end - i);
    if (!at->is_object() || !at->contains(name)) return std::nullopt;
    at = &(*at)[name];
    i = end == std::string::npos ? path.size() : end;
  }
  return *at;
}

bool is_zero(const json& value) {
  return value == json(0) || value == json(false) || value == json("") ||
         ((value.is_array() || value.is_object()) && value.empty());
}

class Check {
 public:
  Check(Dialect dialect, const Answer& answer, Variables& variables)
      : dialect_(dialect), answer_(answer), variables_(variables) {}

  void run(const Step& step) {
    if (answer_.code != step.code) {
      say(step.line, fmt::format("code is {}, not {}", answer_.code, step.code));
    }
    std::vector<Expectation> fields;
    for (const Expectation& wanted : step.expectations) {
      using Scope = Expectation::Scope;
      if (wanted.scope == Scope::rest && dialect_ != Dialect::rest) continue;
      if (wanted.scope == Scope::rpc && dialect_ == Dialect::rest) continue;
      if (wanted.kind == Expectation::Kind::field) {
        fields.push_back(wanted);
      } else {
        check(wanted);
      }
    }
    if (!fields.empty()) check_fields(fields);
    if (!problems_.empty()) problems_.push_back("the answer was " + answer_.body.dump());
  }

  std::vector<std::string> take() { return std::move(problems_); }

 private:
  void say(int line, const std::string& text) {
    problems_.push_back(fmt::format("line {}: {}", line, text));
  }

  void check(const Expectation& wanted) {
    using Kind = Expectation::Kind;
    const std::string object = expand(wanted.object, variables_);
    const auto found = find(answer_.body, wanted.subject);
    switch (wanted.kind) {
      case Kind::equals: {
        const json value = json::parse(object, nullptr, false);
        if (value.is_discarded()) return say(wanted.line, "not JSON: " + object);
        // REST prints zero values; the other dialects leave them out.
        if (!found && dialect_ != Dialect::rest && is_zero(value)) return;
        if (!found) return say(wanted.line, wanted.subject + " is missing");
        if (*found != value)
          say(wanted.line, fmt::format("{} is {}", wanted.subject, found->dump()));
        return;
      }
      case Kind::count: {
        const std::size_t size = found ? found->size() : 0;
        if (size != std::stoul(object))
          say(wanted.line, fmt::format("{} has {}", wanted.subject, size));
        return;
      }
      case Kind::absent:
        if (found) say(wanted.line, wanted.subject + " is there: " + found->dump());
        return;
      case Kind::save: {
        const auto value = find(answer_.body, wanted.object);
        if (!value || !value->is_string()) return say(wanted.line, wanted.object + " is no text");
        variables_[wanted.subject] = value->get<std::string>();
        return;
      }
      case Kind::message:
        if (answer_.body.value("message", "") != object) {
          say(wanted.line, "message is " + answer_.body.value("message", ""));
        }
        return;
      case Kind::resource:
        return check_detail(wanted, "google.rpc.ResourceInfo",
                            {{"resourceType", wanted.subject}, {"resourceName", object}});
      case Kind::precondition:
        return check_violation(wanted, "google.rpc.PreconditionFailure",
                               {{"type", wanted.subject}, {"subject", object}});
      case Kind::quota:
        return check_violation(wanted, "google.rpc.QuotaFailure",
                               {{"subject", expand(wanted.subject, variables_)}});
      case Kind::field:
        return;
    }
  }

  std::vector<json> details(const std::string& type) const {
    std::vector<json> all;
    for (const json& detail : answer_.body.value("details", json::array())) {
      if (detail.value("@type", "") == "type.googleapis.com/" + type) all.push_back(detail);
    }
    return all;
  }

  static bool holds(const json& object, const json& members) {
    for (const auto& [name, value] : members.items()) {
      if (object.value(name, json()) != value) return false;
    }
    return true;
  }

  void check_detail(const Expectation& wanted, const std::string& type, const json& members) {
    for (const json& detail : details(type)) {
      if (holds(detail, members)) return;
    }
    say(wanted.line, "no " + type + " with " + members.dump());
  }

  void check_violation(const Expectation& wanted, const std::string& type, const json& members) {
    for (const json& detail : details(type)) {
      for (const json& violation : detail.value("violations", json::array())) {
        if (holds(violation, members)) return;
      }
    }
    say(wanted.line, "no violation in " + type + " with " + members.dump());
  }

  void check_fields(const std::vector<Expectation>& wanted) {
    json violations = json::array();
    for (const json& detail : details("google.rpc.BadRequest")) {
      for (const json& violation : detail.value("fieldViolations", json::array())) {
        violations.push_back(violation);
      }
    }
    if (violations.size() != wanted.size()) {
      return say(wanted.front().line, fmt::format("{} fields are wrong", violations.size()));
    }
    for (std::size_t i = 0; i < wanted.size(); ++i) {
      if (violations[i].value("field", "") != wanted[i].subject) {
        say(wanted[i].line, "field is " + violations[i].value("field", ""));
      }
      const std::string description = expand(wanted[i].object, variables_);
      if (!description.empty() && violations[i].value("description", "") != description) {
        say(wanted[i].line, "description is " + violations[i].value("description", ""));
      }
      if (violations[i].value("description", "").empty()) say(wanted[i].line, "no description");
    }
  }

  Dialect dialect_;
  const Answer& answer_;
  Variables& variables_;
  std::vector<std::string> problems_;
};

}  // namespace

std::string expand(std::string text, const Variables& variables) {
  for (const auto& [name, value] : variables) {
    const std::string mark = "${" + name + "}";
    for (auto at = text.find(mark); at != std::string::npos;
         at = text.find(mark, at + value.size())) {
      text.replace(at, mark.size(), value);
    }
  }
  return text;
}

std::vector<std::string> check_answer(const Step& step, Dialect dialect, const Answer& answer,
                                      Variables& variables) {
  Check check(dialect, answer, variables);
  check.run(step);
  return check.take();
}

}  // namespace staithe::tests
