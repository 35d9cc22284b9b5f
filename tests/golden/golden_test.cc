#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include "golden/answer_check.h"
#include "golden/dialects.h"
#include "golden/golden_server.h"
#include "golden/wire_file.h"

namespace staithe::tests {
namespace {

const wire::Method* find_method(const wire::MethodTable& methods, const std::string& name) {
  for (const wire::Method& method : methods) {
    const auto dot = method.service.rfind('.');
    if (method.service.substr(dot + 1) + "/" + method.name == name) return &method;
  }
  return nullptr;
}

bool is_replayed(const Step& step, Dialect dialect) {
  switch (dialect) {
    case Dialect::rest:
      return step.is_rest_replayed;
    case Dialect::connect_json:
      return step.is_connect_json_replayed;
    case Dialect::connect_binary:
    case Dialect::grpc:
    case Dialect::grpc_web:
      return step.is_binary_replayed;
  }
  return false;
}

// Tells one file's story over one dialect on one store.
class Story : public testing::Test {
 public:
  Story(std::string path, Dialect dialect, StoreKind store)
      : path_(std::move(path)), dialect_(dialect), store_(store) {}

  void TestBody() override {
    const auto steps = parse_wire_file(path_);
    ASSERT_TRUE(steps) << steps.error().message;
    std::map<std::string, std::string> options;
    for (const Step& step : *steps) {
      if (step.kind != Step::Kind::with) continue;
      const auto equals = step.argument.find('=');
      ASSERT_NE(equals, std::string::npos) << path_ << ":" << step.line;
      options[step.argument.substr(0, equals)] = step.argument.substr(equals + 1);
    }
    GoldenServer server(store_, options);
    for (const Step& step : *steps) {
      SCOPED_TRACE(fmt::format("{}:{}", path_, step.line));
      tell(server, step);
      if (HasFatalFailure()) return;
    }
  }

 private:
  void tell(GoldenServer& server, const Step& step) {
    switch (step.kind) {
      case Step::Kind::with:
        return;
      case Step::Kind::as:
        caller_ = step.argument;
        return;
      case Step::Kind::settle:
        return server.settle();
      case Step::Kind::advance:
        return server.advance(std::chrono::milliseconds{std::stoi(step.argument)});
      case Step::Kind::call:
        if (is_replayed(step, dialect_)) call(server, step);
        return;
    }
  }

  void call(GoldenServer& server, const Step& step) {
    const wire::Method* method = find_method(server.methods(), step.argument);
    ASSERT_NE(method, nullptr) << step.argument;
    auto request = draw_request(dialect_, *method, expand(step.request, variables_));
    ASSERT_TRUE(request) << request.error().message;
    const auto http = server.send(*std::move(request), http_version(dialect_), caller_);
    ASSERT_TRUE(http) << http.error().message;
    const auto answer = read_answer(dialect_, *method, *http);
    ASSERT_TRUE(answer) << answer.error().message;
    for (const std::string& problem : check_answer(step, dialect_, *answer, variables_)) {
      ADD_FAILURE() << problem;
    }
  }

  const std::string path_;
  const Dialect dialect_;
  const StoreKind store_;
  std::string caller_ = "nobody";
  Variables variables_;
};

// "claims/create.wire" becomes "claims_create".
std::string story_name(const std::filesystem::path& path, const std::filesystem::path& root) {
  std::string name = std::filesystem::relative(path, root).replace_extension().string();
  std::replace(name.begin(), name.end(), '/', '_');
  return name;
}

const int registered = [] {
  const std::filesystem::path root = STAITHE_WIRE_FILES;
  std::vector<std::filesystem::path> paths;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(root)) {
    if (entry.path().extension() == ".wire") paths.push_back(entry.path());
  }
  std::sort(paths.begin(), paths.end());
  for (const auto& path : paths) {
    for (const Dialect dialect : all_dialects) {
      for (const StoreKind store : {StoreKind::memory, StoreKind::sqlite}) {
        const std::string name = fmt::format("{}_on_{}", dialect_name(dialect),
                                             store == StoreKind::memory ? "memory" : "sqlite");
        testing::RegisterTest(story_name(path, root).c_str(), name.c_str(), nullptr, nullptr,
                              __FILE__, __LINE__, [path, dialect, store]() -> testing::Test* {
                                return new Story(path.string(), dialect, store);
                              });
      }
    }
  }
  return static_cast<int>(paths.size());
}();

TEST(GoldenFiles, hold_at_least_150_exchanges_and_every_operation) {
  std::map<std::string, int> calls;
  std::map<Dialect, int> replayed;
  int total = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(STAITHE_WIRE_FILES)) {
    if (entry.path().extension() != ".wire") continue;
    const auto steps = parse_wire_file(entry.path().string());
    ASSERT_TRUE(steps) << steps.error().message;
    for (const Step& step : *steps) {
      if (step.kind != Step::Kind::call) continue;
      ++calls[step.argument];
      ++total;
      for (const Dialect dialect : all_dialects) replayed[dialect] += is_replayed(step, dialect);
    }
  }
  EXPECT_GT(registered, 0);
  EXPECT_GE(total, 150);
  EXPECT_EQ(calls.size(), 32u);
  RecordProperty("exchanges", total);
  for (const auto& [dialect, count] : replayed) {
    EXPECT_GE(count, 150) << dialect_name(dialect);
    RecordProperty(std::string(dialect_name(dialect)), count);
  }
}

}  // namespace
}  // namespace staithe::tests
