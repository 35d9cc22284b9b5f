#include "trace.h"

#include <fmt/format.h>
#include <zlib.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <memory>
#include <optional>
#include <string_view>

#include "base/random.h"
#include "base/time_text.h"

namespace staithe::bench {
namespace {

using std::chrono::milliseconds;

Error bad_line(const std::string& path, std::size_t number) {
  return Error{.code = Code::invalid_argument,
               .message = fmt::format("{}, line {}: not a request of a known form", path, number)};
}

std::optional<Request> parse_azure(const std::string& line, std::optional<Timestamp>& first) {
  const auto comma = line.find(',');
  if (comma == std::string::npos) return std::nullopt;
  std::string time = line.substr(0, comma);
  std::replace(time.begin(), time.end(), ' ', 'T');
  const auto at = parse_timestamp(time + "Z");
  Request request;
  if (!at || std::sscanf(line.c_str() + comma, ",%u,%u", &request.input_tokens,
                         &request.output_tokens) != 2) {
    return std::nullopt;
  }
  if (!first) first = *at;
  request.at = *at - *first;
  return request;
}

std::optional<Request> parse_mooncake(const std::string& line) {
  const auto json = nlohmann::json::parse(line, nullptr, false);
  if (!json.is_object() || !json.contains("timestamp") || !json["timestamp"].is_number() ||
      !json.contains("input_length") || !json["input_length"].is_number_unsigned() ||
      !json.contains("output_length") || !json["output_length"].is_number_unsigned()) {
    return std::nullopt;
  }
  return Request{.at = milliseconds(json["timestamp"].get<std::int64_t>()),
                 .input_tokens = json["input_length"].get<std::uint32_t>(),
                 .output_tokens = json["output_length"].get<std::uint32_t>()};
}

std::optional<Request> parse_packed(const std::string& line, Duration before) {
  unsigned gap = 0;
  Request request;
  if (std::sscanf(line.c_str(), "%u %u %u", &gap, &request.input_tokens, &request.output_tokens) !=
      3) {
    return std::nullopt;
  }
  request.at = before + milliseconds(gap);
  return request;
}

Result<std::vector<std::string>> read_lines(const std::string& path) {
  // Reads files that are not compressed just as well.
  const std::unique_ptr<gzFile_s, int (*)(gzFile)> file(gzopen(path.c_str(), "rb"), gzclose);
  if (file == nullptr) {
    return Error{.code = Code::not_found, .message = "cannot read " + path};
  }
  std::vector<std::string> lines(1);
  char buffer[65536];
  int count = 0;
  while ((count = gzread(file.get(), buffer, sizeof buffer)) > 0) {
    for (const char c : std::string_view(buffer, static_cast<std::size_t>(count))) {
      if (c == '\n') {
        lines.emplace_back();
      } else {
        lines.back() += c;
      }
    }
  }
  if (count < 0) return Error{.code = Code::data_loss, .message = "cannot unpack " + path};
  if (lines.back().empty()) lines.pop_back();
  return lines;
}

}  // namespace

Result<Trace> read_trace(const std::string& path) {
  TRY_ASSIGN(const std::vector<std::string> lines, read_lines(path));
  const auto slash = path.rfind('/');
  Trace trace;
  trace.name = path.substr(slash == std::string::npos ? 0 : slash + 1);
  trace.name = trace.name.substr(0, trace.name.find('.'));
  std::optional<Timestamp> first;
  for (std::size_t i = 0; i < lines.size(); ++i) {
    const std::string& line = lines[i];
    if (line.empty() || line[0] == '#' || line.starts_with("TIMESTAMP")) continue;
    const Duration before = trace.requests.empty() ? Duration{0} : trace.requests.back().at;
    const auto request = path.ends_with(".csv")     ? parse_azure(line, first)
                         : path.ends_with(".jsonl") ? parse_mooncake(line)
                                                    : parse_packed(line, before);
    if (!request) return bad_line(path, i + 1);
    trace.requests.push_back(*request);
  }
  if (trace.requests.empty()) {
    return Error{.code = Code::invalid_argument, .message = path + " holds no request"};
  }
  std::stable_sort(trace.requests.begin(), trace.requests.end(),
                   [](const Request& a, const Request& b) { return a.at < b.at; });
  return trace;
}

Trace multiplied(const Trace& trace, std::uint32_t copies, Duration spread) {
  SeededRandom random(1);
  Trace more{.name = trace.name, .requests = {}};
  more.requests.reserve(trace.requests.size() * copies);
  for (const Request& request : trace.requests) {
    for (std::uint32_t i = 0; i < copies; ++i) {
      Request copy = request;
      copy.at +=
          Duration{static_cast<std::int64_t>(random.unit() * static_cast<double>(spread.count()))};
      more.requests.push_back(copy);
    }
  }
  std::stable_sort(more.requests.begin(), more.requests.end(),
                   [](const Request& a, const Request& b) { return a.at < b.at; });
  return more;
}

}  // namespace staithe::bench
