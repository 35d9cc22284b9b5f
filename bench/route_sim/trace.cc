#include "trace.h"

#include <fmt/format.h>
#include <zlib.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <memory>
#include <optional>
#include <string_view>

#include "base/random.h"
#include "base/time_text.h"

namespace staithe::bench {
namespace {

std::uint32_t blocks_of(std::uint32_t tokens) {
  return (tokens + block_tokens - 1) / block_tokens;
}

class Reader {
 public:
  explicit Reader(Trace& trace) : trace_(trace) {}

  bool take(const std::string& path, const std::string& line) {
    if (path.ends_with(".csv")) return take_azure(line);
    return path.ends_with(".jsonl") ? take_mooncake(line) : take_packed(line);
  }

 private:
  bool add(Request request) {
    if (request.input_tokens == 0 || request.output_tokens == 0) return true;  // nothing to serve
    for (const std::uint32_t id : request.blocks) {
      trace_.block_count = std::max(trace_.block_count, id + 1);
    }
    trace_.requests.push_back(std::move(request));
    return true;
  }
  void add_new_blocks(Request& request) {
    while (request.blocks.size() < blocks_of(request.input_tokens)) {
      request.blocks.push_back(next_block_++);
    }
  }

  bool take_azure(const std::string& line) {
    const auto comma = line.find(',');
    if (comma == std::string::npos) return false;
    std::string time = line.substr(0, comma);
    std::replace(time.begin(), time.end(), ' ', 'T');
    const auto at = parse_timestamp(time + "Z");
    Request request;
    if (!at || std::sscanf(line.c_str() + comma, ",%u,%u", &request.input_tokens,
                           &request.output_tokens) != 2) {
      return false;
    }
    if (!first_) first_ = *at;
    request.at_s = std::chrono::duration<double>(*at - *first_).count();
    add_new_blocks(request);
    return add(std::move(request));
  }

  bool take_mooncake(const std::string& line) {
    const auto json = nlohmann::json::parse(line, nullptr, false);
    if (!json.is_object() || !json.contains("hash_ids") || !json["hash_ids"].is_array()) {
      return false;
    }
    for (const auto name : {"timestamp", "input_length", "output_length"}) {
      if (!json.contains(name) || !json[name].is_number_unsigned()) return false;
    }
    Request request{.at_s = json["timestamp"].get<double>() / 1000,
                    .input_tokens = json["input_length"].get<std::uint32_t>(),
                    .output_tokens = json["output_length"].get<std::uint32_t>()};
    for (const auto& id : json["hash_ids"]) {
      if (!id.is_number_unsigned()) return false;
      request.blocks.push_back(id.get<std::uint32_t>());
    }
    return request.blocks.size() == blocks_of(request.input_tokens) && add(std::move(request));
  }

  bool take_packed(const std::string& line) {
    unsigned gap_ms = 0;
    unsigned shared_count = 0;
    unsigned shared_last = 0;
    Request request;
    if (std::sscanf(line.c_str(), "%u %u %u %u %u", &gap_ms, &request.input_tokens,
                    &request.output_tokens, &shared_count, &shared_last) < 3) {
      return false;
    }
    at_ms_ += gap_ms;
    request.at_s = static_cast<double>(at_ms_) / 1000;
    if (shared_count > 0) {
      if (shared_last >= chains_.size() || chains_[shared_last].place + 1 != shared_count) {
        return false;
      }
      std::uint32_t id = shared_last;
      request.blocks.resize(shared_count);
      for (std::uint32_t i = shared_count; i-- > 0; id = chains_[id].before) {
        request.blocks[i] = id;
      }
    }
    add_new_blocks(request);
    for (std::uint32_t i = shared_count; i < request.blocks.size(); ++i) {
      chains_.push_back({.before = i == 0 ? 0 : request.blocks[i - 1], .place = i});
    }
    return add(std::move(request));
  }

  struct Chain {
    std::uint32_t before;
    std::uint32_t place;
  };
  Trace& trace_;
  std::optional<Timestamp> first_;
  std::uint32_t next_block_ = 0;
  std::uint64_t at_ms_ = 0;
  std::vector<Chain> chains_;  // by id: the block before, and how many there are
};

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

void spread_in_time(std::vector<Request>& requests) {
  for (std::size_t begin = 0; begin < requests.size();) {
    std::size_t end = begin;
    while (end < requests.size() && requests[end].at_s <= requests[begin].at_s) ++end;
    if (end == requests.size()) return;  // nothing tells how long the last moment is
    const double step =
        (requests[end].at_s - requests[begin].at_s) / static_cast<double>(end - begin);
    for (std::size_t i = begin; i < end; ++i) {
      requests[i].at_s += step * static_cast<double>(i - begin);
    }
    begin = end;
  }
}

void make_prefix(Request& request) {
  std::string text(std::size_t{block_tokens} * token_bytes, '\0');
  std::size_t left = std::size_t{request.input_tokens} * token_bytes;
  request.prefix = gateway::Prefix();
  for (const std::uint32_t id : request.blocks) {
    SeededRandom random(id);
    for (std::size_t at = 0; at < text.size(); at += 64) {
      const std::uint64_t word = random.next();
      std::memcpy(text.data() + at, &word, sizeof word);
    }
    const std::size_t taken = std::min(left, text.size());
    request.prefix.add(std::string_view(text).substr(0, taken));
    left -= taken;
  }
}

}  // namespace

Result<Trace> read_trace(const std::string& path) {
  TRY_ASSIGN(const std::vector<std::string> lines, read_lines(path));
  const auto slash = path.rfind('/');
  Trace trace;
  trace.name = path.substr(slash == std::string::npos ? 0 : slash + 1);
  trace.name = trace.name.substr(0, trace.name.find('.'));
  Reader reader(trace);
  for (std::size_t i = 0; i < lines.size(); ++i) {
    const std::string& line = lines[i];
    if (line.empty() || line[0] == '#' || line.starts_with("TIMESTAMP")) continue;
    if (!reader.take(path, line)) {
      return Error{
          .code = Code::invalid_argument,
          .message = fmt::format("{}, line {}: not a request of a known form", path, i + 1)};
    }
  }
  if (trace.requests.empty()) {
    return Error{.code = Code::invalid_argument, .message = path + " holds no request"};
  }
  std::stable_sort(trace.requests.begin(), trace.requests.end(),
                   [](const Request& a, const Request& b) { return a.at_s < b.at_s; });
  spread_in_time(trace.requests);
  for (Request& request : trace.requests) make_prefix(request);
  return trace;
}

Trace without_reuse(const Trace& trace) {
  Trace unique = trace;
  unique.block_count = 0;
  for (Request& request : unique.requests) {
    for (std::uint32_t& id : request.blocks) id = unique.block_count++;
    make_prefix(request);
  }
  return unique;
}

}  // namespace staithe::bench
