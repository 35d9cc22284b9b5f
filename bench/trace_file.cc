#include "bench/trace_file.h"

#include <fmt/format.h>
#include <zlib.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string_view>

#include "base/time_text.h"

namespace staithe::bench {
namespace {

using std::chrono::milliseconds;

std::optional<TraceRecord> parse_azure(const std::string& line, std::optional<Timestamp>& first) {
  const auto comma = line.find(',');
  if (comma == std::string::npos) return std::nullopt;
  std::string time = line.substr(0, comma);
  std::replace(time.begin(), time.end(), ' ', 'T');
  const auto at = parse_timestamp(time + "Z");
  TraceRecord record;
  if (!at || std::sscanf(line.c_str() + comma, ",%u,%u", &record.input_tokens,
                         &record.output_tokens) != 2) {
    return std::nullopt;
  }
  if (!first) first = *at;
  record.at = *at - *first;
  return record;
}

std::optional<TraceRecord> parse_mooncake(const std::string& line) {
  const auto json = nlohmann::json::parse(line, nullptr, false);
  if (!json.is_object()) return std::nullopt;
  for (const auto name : {"timestamp", "input_length", "output_length"}) {
    if (!json.contains(name) || !json[name].is_number_unsigned()) return std::nullopt;
  }
  TraceRecord record{.at = milliseconds(json["timestamp"].get<std::int64_t>()),
                     .input_tokens = json["input_length"].get<std::uint32_t>(),
                     .output_tokens = json["output_length"].get<std::uint32_t>(),
                     .prompt = {}};
  const auto hash_ids = json.find("hash_ids");
  if (hash_ids == json.end()) return record;
  if (!hash_ids->is_array()) return std::nullopt;
  for (const auto& id : *hash_ids) {
    if (!id.is_number_unsigned()) return std::nullopt;
    record.prompt.push_back(id.get<std::uint32_t>());
  }
  return record;
}

std::optional<TraceRecord> parse_packed(std::string_view line, Duration before) {
  std::vector<std::uint32_t> numbers;
  while (!line.empty()) {
    const auto [end, problem] =
        std::from_chars(line.data(), line.data() + line.size(), numbers.emplace_back());
    if (problem != std::errc{}) return std::nullopt;
    line.remove_prefix(static_cast<std::size_t>(end - line.data()));
    if (line.starts_with(' ')) line.remove_prefix(1);
  }
  if (numbers.size() < 3) return std::nullopt;
  return TraceRecord{.at = before + milliseconds(numbers[0]),
                     .input_tokens = numbers[1],
                     .output_tokens = numbers[2],
                     .prompt = {numbers.begin() + 3, numbers.end()}};
}

Error bad_line(const std::string& path, std::size_t number) {
  return Error{.code = Code::invalid_argument,
               .message = fmt::format("{}, line {}: not a request of a known form", path, number)};
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

Result<TraceFile> read_trace_file(const std::string& path) {
  TRY_ASSIGN(const std::vector<std::string> lines, read_lines(path));
  const auto slash = path.rfind('/');
  TraceFile trace;
  trace.name = path.substr(slash == std::string::npos ? 0 : slash + 1);
  trace.name = trace.name.substr(0, trace.name.find('.'));
  std::optional<Timestamp> first;
  for (std::size_t i = 0; i < lines.size(); ++i) {
    const std::string& line = lines[i];
    if (line.empty() || line[0] == '#' || line.starts_with("TIMESTAMP")) continue;
    const Duration before = trace.records.empty() ? Duration{0} : trace.records.back().at;
    auto record = path.ends_with(".csv")     ? parse_azure(line, first)
                  : path.ends_with(".jsonl") ? parse_mooncake(line)
                                             : parse_packed(line, before);
    if (!record) return bad_line(path, i + 1);
    trace.records.push_back(*std::move(record));
  }
  if (trace.records.empty()) {
    return Error{.code = Code::invalid_argument, .message = path + " holds no request"};
  }
  return trace;
}

}  // namespace staithe::bench
