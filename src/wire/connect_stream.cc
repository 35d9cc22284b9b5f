#include <fmt/format.h>

#include <map>
#include <utility>

#include "base/check.h"
#include "base/encoding.h"
#include "wire/connect.h"
#include "wire/error_drawing.h"
#include "wire/timeouts.h"

namespace staithe::wire {
namespace {

constexpr std::uint8_t end_flag = 0x02;

std::optional<MessageFormat> stream_format_of(const RawRequest& request) {
  const std::string& type = request.media_type;
  if (type == "application/connect+proto") return MessageFormat::proto;
  if (type == "application/connect+json") return MessageFormat::json;
  return std::nullopt;
}

// The last envelope of a stream (https://connectrpc.com/docs/protocol#streaming-response).
std::string draw_end(const Result<void>& outcome, const Metadata& trailers) {
  std::string text = "{";
  if (!outcome) text += "\"error\":" + draw_connect_error(outcome.error());
  std::map<std::string, std::string> lists;  // by name, the values as JSON
  for (const auto& [name, value] : trailers) {
    std::string& list = lists[name];
    list += (list.empty() ? "" : ",") + json_quote(value);
  }
  if (!lists.empty()) {
    text += text.size() > 1 ? ",\"metadata\":{" : "\"metadata\":{";
    bool is_first = true;
    for (const auto& [name, list] : lists) {
      text += (std::exchange(is_first, false) ? "" : ",") + json_quote(name) + ":[" + list + "]";
    }
    text += '}';
  }
  text += '}';
  std::string envelope;
  append_envelope(envelope, end_flag, text);
  return envelope;
}

class ConnectStream final : public StreamCodec {
 public:
  ConnectStream(const Method& method, EnvelopeForm form, Result<void> problem)
      : form_(form),
        problem_(std::move(problem)),
        reader_(
            form, *method.request,
            method.has_one_request() ? EnvelopeReader::Count::one : EnvelopeReader::Count::any) {}

  Result<void> add(std::string_view bytes) override {
    if (!problem_) return problem_.error();
    reader_.add(bytes);
    return {};
  }
  Result<MessagePtr> next() override { return reader_.next(); }
  Result<void> take_end() override {
    if (!problem_) return problem_.error();
    return reader_.take_end();
  }

  RawAnswer head(const Metadata& headers) override {
    RawAnswer answer;
    answer.headers.emplace_back("Content-Type", form_.format == MessageFormat::proto
                                                    ? "application/connect+proto"
                                                    : "application/connect+json");
    answer.headers.emplace_back("Connect-Accept-Encoding", "gzip");
    if (form_.may_compress) answer.headers.emplace_back("Connect-Content-Encoding", "gzip");
    answer.headers.insert(answer.headers.end(), headers.begin(), headers.end());
    return answer;
  }

  std::string write(const google::protobuf::Message& message) override {
    std::string bytes;
    append_message(bytes, form_, message);
    return bytes;
  }

  RawAnswer end(const Result<void>& outcome, const Metadata& trailers) override {
    return {.headers = {}, .body = draw_end(outcome, trailers)};
  }

  RawAnswer end_at_once(const Result<void>& outcome, const Metadata& trailers) override {
    RawAnswer answer = head({});
    answer.body = draw_end(outcome, trailers);
    return answer;
  }

 private:
  const EnvelopeForm form_;
  const Result<void> problem_;
  EnvelopeReader reader_;
};

}  // namespace

Dialect::Chosen ConnectStreamDialect::choose(const RawRequest& request) const {
  const Method* method = paths_.find(request.path);
  if (request.method != "POST") {
    return {.method = nullptr, .refusal = refuse_verb("POST, OPTIONS")};
  }
  const bool is_unary = method != nullptr && method->kind == Method::Kind::unary;
  if (is_unary || !stream_format_of(request)) {
    return {.method = nullptr,
            .refusal = refuse_media_type(request.media_type,
                                         is_unary ? ConnectDialect::media_types : media_types)};
  }
  if (method != nullptr) return {.method = method, .refusal = {}};
  return {.method = nullptr, .refusal = write_error(unknown_method(request.path), request)};
}

std::size_t ConnectStreamDialect::body_bytes_max(const RawRequest&) const {
  return message_bytes_max_ + Envelope::head_bytes;
}

Result<std::optional<Duration>> ConnectStreamDialect::timeout(const RawRequest& request) const {
  return read_connect_timeout(request.header("connect-timeout-ms"));
}

Result<MessagePtr> ConnectStreamDialect::read(const Method&, RawRequest&) const {
  CHECK(false);
  return MessagePtr{};
}

RawAnswer ConnectStreamDialect::write(const Outcome& outcome, const RawRequest& request) const {
  CHECK(!outcome.message);
  RawAnswer answer;
  answer.headers.emplace_back("Content-Type", request.media_type);
  answer.body = draw_end(outcome.message.error(), outcome.trailers);
  return answer;
}

std::unique_ptr<StreamCodec> ConnectStreamDialect::open(const Method& method,
                                                        const RawRequest& request) const {
  EnvelopeForm form{.format = stream_format_of(request).value_or(MessageFormat::json),
                    .may_compress = accepts_gzip(request.header("connect-accept-encoding")),
                    .bytes_max = message_bytes_max_};
  const auto encoding =
      read_encoding(request.header("connect-content-encoding"), "Connect-Content-Encoding");
  Result<void> problem;
  if (encoding) {
    form.request_encoding = *encoding;
  } else {
    problem = encoding.error();
  }
  return std::make_unique<ConnectStream>(method, form, std::move(problem));
}

}  // namespace staithe::wire
