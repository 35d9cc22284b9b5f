#include "gateway/request_span.h"

namespace staithe::gateway {

std::unique_ptr<RequestSpan> begin_span(const TraceOptions& options, std::string_view traceparent,
                                        Random& random, Timestamp now) {
  if (options.sink == nullptr) return nullptr;
  std::optional<TraceContext> parent = parse_traceparent(traceparent);
  const bool is_sampled = parent ? parent->is_sampled : random.below(100) < options.sample_percent;
  if (!is_sampled) return nullptr;
  auto span = std::make_unique<RequestSpan>();
  span->context = {.trace_id = parent ? std::move(parent->trace_id) : make_trace_id(random),
                   .span_id = make_span_id(random),
                   .is_sampled = true};
  if (parent) span->parent_id = std::move(parent->span_id);
  span->started_at = now;
  return span;
}

std::string_view operation_name(std::string_view path) {
  path = path.substr(0, path.find('?'));
  if (path.ends_with("/chat/completions") || path.ends_with("/responses")) return "chat";
  if (path.ends_with("/completions")) return "text_completion";
  if (path.ends_with("/embeddings")) return "embeddings";
  return {};
}

}  // namespace staithe::gateway
