#include "golden/wire_file.h"

#include <fmt/format.h>

#include <fstream>
#include <utility>

namespace staithe::tests {
namespace {

std::pair<std::string, std::string> split(const std::string& text, const std::string& mark) {
  const auto at = text.find(mark);
  if (at == std::string::npos) return {text, {}};
  return {text.substr(0, at), text.substr(at + mark.size())};
}

class Parser {
 public:
  explicit Parser(std::string path) : path_(std::move(path)), file_(path_) {}

  Result<std::vector<Step>> run() {
    if (!file_) return bad("cannot be read");
    while (next()) {
      if (text_.empty() || text_.starts_with("#")) continue;
      TRY(read_step());
    }
    return std::move(steps_);
  }

 private:
  bool next() {
    if (!std::getline(file_, text_)) return false;
    ++line_;
    return true;
  }

  Error bad(const std::string& what) const {
    return Error{.code = Code::invalid_argument,
                 .message = fmt::format("{}:{}: {}: {}", path_, line_, what, text_)};
  }

  Result<void> read_step() {
    const auto [word, rest] = split(text_, " ");
    if (word == "as" || word == "with") {
      add(word == "as" ? Step::Kind::as : Step::Kind::with, rest);
    } else if (word == "settle") {
      add(Step::Kind::settle, {});
    } else if (word == "advance" && rest.ends_with("ms")) {
      add(Step::Kind::advance, rest.substr(0, rest.size() - 2));
    } else if (word == "only") {
      only_ = rest;
    } else if (word == "call") {
      return read_call(rest);
    } else {
      return bad("not a step");
    }
    return {};
  }

  void add(Step::Kind kind, std::string argument) {
    Step step;
    step.kind = kind;
    step.argument = std::move(argument);
    step.line = line_;
    steps_.push_back(std::move(step));
  }

  Result<void> read_call(const std::string& rest) {
    add(Step::Kind::call, {});
    Step& step = steps_.back();
    std::tie(step.argument, step.request) = split(rest, " ");
    while (next() && text_ != "---") step.request += "\n" + text_;
    if (text_ != "---") return bad("a call needs its answer after ---");
    step.is_rest_replayed = only_ != "rpc";
    step.is_connect_json_replayed = only_ != "rest";
    step.is_binary_replayed = only_.empty() || only_ == "rpc";
    only_.clear();

    if (!next()) return bad("the answer is missing");
    const auto [outcome, code] = split(text_, " ");
    if (outcome == "error" && !code.empty()) {
      step.code = code;
    } else if (text_ != "ok") {
      return bad("an answer starts with ok or error CODE");
    }
    while (next() && !text_.empty()) {
      if (!text_.starts_with("#")) TRY(read_expectation(step));
    }
    return {};
  }

  Result<void> read_expectation(Step& step) {
    Expectation wanted;
    wanted.line = line_;
    auto [word, rest] = split(text_, " ");
    if (word == "rest" || word == "rpc") {
      wanted.scope = word == "rest" ? Expectation::Scope::rest : Expectation::Scope::rpc;
      std::tie(word, rest) = split(std::string(rest), " ");
    }
    using Kind = Expectation::Kind;
    if (word == "message") {
      wanted.kind = Kind::message;
      wanted.object = rest;
    } else if (word == "field") {
      wanted.kind = Kind::field;
      std::tie(wanted.subject, wanted.object) = split(rest, ": ");
    } else if (word == "resource" || word == "precondition") {
      // Types may hold spaces ("capacity claim"); the name is the last word.
      wanted.kind = word == "resource" ? Kind::resource : Kind::precondition;
      const auto at = rest.rfind(' ');
      if (at == std::string::npos) return bad("needs a type and a name");
      wanted.subject = rest.substr(0, at);
      wanted.object = rest.substr(at + 1);
    } else if (word == "quota") {
      wanted.kind = Kind::quota;
      wanted.subject = rest;
    } else if (word == "absent") {
      wanted.kind = Kind::absent;
      wanted.subject = rest;
    } else if (word == "save") {
      wanted.kind = Kind::save;
      std::tie(wanted.subject, wanted.object) = split(rest, " ");
    } else if (word == "count") {
      wanted.kind = Kind::count;
      std::tie(wanted.subject, wanted.object) = split(rest, " = ");
    } else if (rest.starts_with("= ")) {
      wanted.kind = Kind::equals;
      wanted.subject = word;
      wanted.object = rest.substr(2);
    } else {
      return bad("not an expectation");
    }
    step.expectations.push_back(std::move(wanted));
    return {};
  }

  std::string path_;
  std::ifstream file_;
  std::string text_;
  int line_ = 0;
  std::string only_;
  std::vector<Step> steps_;
};

}  // namespace

Result<std::vector<Step>> parse_wire_file(const std::string& path) {
  return Parser(path).run();
}

}  // namespace staithe::tests
