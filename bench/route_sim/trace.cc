#include "trace.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <string_view>

#include "base/random.h"
#include "bench/trace_file.h"

namespace staithe::bench {
namespace {

std::uint32_t blocks_of(std::uint32_t tokens) {
  return (tokens + block_tokens - 1) / block_tokens;
}

// Gives prompts their blocks.
class Blocks {
 public:
  // As the trace names them.
  static bool take_named(const TraceRecord& record, Request& request) {
    request.blocks = record.prompt;
    return request.blocks.size() == blocks_of(request.input_tokens);
  }
  // Of the numbers behind a committed trace's tokens: how many blocks an earlier prompt had in
  // common, and the last of them. Without them all are new.
  bool take_shared(const TraceRecord& record, Request& request) {
    const std::uint32_t shared_count = record.prompt.empty() ? 0 : record.prompt[0];
    if (shared_count > 0) {
      const std::uint32_t last = record.prompt.size() > 1 ? record.prompt[1] : 0;
      if (last >= chains_.size() || chains_[last].place + 1 != shared_count) return false;
      std::uint32_t id = last;
      request.blocks.resize(shared_count);
      for (std::uint32_t i = shared_count; i-- > 0; id = chains_[id].before) {
        request.blocks[i] = id;
      }
    }
    for (std::uint32_t i = shared_count; i < blocks_of(request.input_tokens); ++i) {
      const auto id = static_cast<std::uint32_t>(chains_.size());
      chains_.push_back({.before = i == 0 ? 0 : request.blocks[i - 1], .place = i});
      request.blocks.push_back(id);
    }
    return true;
  }

 private:
  struct Chain {
    std::uint32_t before;
    std::uint32_t place;
  };
  std::vector<Chain> chains_;  // by id: the block before, and how many there are
};

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
  TRY_ASSIGN(TraceFile file, read_trace_file(path));
  Trace trace{.name = std::move(file.name), .requests = {}};
  const bool is_named = path.ends_with(".jsonl");
  Blocks blocks;
  for (std::size_t i = 0; i < file.records.size(); ++i) {
    const TraceRecord& record = file.records[i];
    Request request{.at_s = std::chrono::duration<double>(record.at).count(),
                    .input_tokens = record.input_tokens,
                    .output_tokens = record.output_tokens};
    const bool is_taken =
        is_named ? Blocks::take_named(record, request) : blocks.take_shared(record, request);
    if (!is_taken) {
      return Error{.code = Code::invalid_argument,
                   .message = fmt::format("{}, request {}: its blocks do not fit its tokens or "
                                          "those of the requests before",
                                          path, i + 1)};
    }
    if (request.input_tokens == 0 || request.output_tokens == 0) continue;  // nothing to serve
    for (const std::uint32_t id : request.blocks) {
      trace.block_count = std::max(trace.block_count, id + 1);
    }
    trace.requests.push_back(std::move(request));
  }
  if (trace.requests.empty()) {
    return Error{.code = Code::invalid_argument, .message = path + " holds nothing to serve"};
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
