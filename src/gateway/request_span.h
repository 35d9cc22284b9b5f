#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/random.h"
#include "gateway/trace_context.h"

namespace staithe::gateway {

// One request as a span of a trace, with what the GenAI conventions want to know of it
// (https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-spans/). No prompt and no key is in
// it.
struct RequestSpan {
  TraceContext context;   // its own
  std::string parent_id;  // empty: the trace begins here
  Timestamp started_at;
  std::optional<Timestamp> first_byte_at;  // of the answer's body
  Timestamp ended_at;

  std::string method;
  std::string operation;  // chat, text_completion, embeddings; empty: something else
  std::string model;      // empty: none was found
  std::string request_id;
  std::string organization;
  std::string gateway_id;
  std::string deployment_id;
  std::string replica_id;
  std::uint16_t status = 0;  // 499: the client left
  struct Tokens {
    std::uint64_t input = 0;
    std::uint64_t cached = 0;  // of the input
    std::uint64_t output = 0;
  };
  std::optional<Tokens> tokens;  // as the engine reported them
};

// Takes spans that have ended. Any thread; never waits.
class SpanSink {
 public:
  virtual ~SpanSink() = default;
  virtual void add(std::unique_ptr<RequestSpan> span) = 0;
};

// What requests that come without a trace get: so many percent of them begin one.
struct TraceOptions {
  SpanSink* sink = nullptr;  // null: nobody traces, and what clients send passes as it is
  std::uint32_t sample_percent = 100;
};

// The span of a request with this `traceparent` (or an empty one); null when it is not to be
// traced. Whoever called decides that, if they did.
std::unique_ptr<RequestSpan> begin_span(const TraceOptions& options, std::string_view traceparent,
                                        Random& random, Timestamp now);

// "chat" of "/v1/chat/completions", and so on; empty for what the conventions have no word for.
std::string_view operation_name(std::string_view path);

}  // namespace staithe::gateway
