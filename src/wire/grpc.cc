#include "wire/grpc.h"

#include <fmt/format.h>

#include <utility>

#include "base/encoding.h"
#include "wire/base64_stream.h"
#include "wire/error_drawing.h"
#include "wire/timeouts.h"

namespace staithe::wire {
namespace {

using Flavor = GrpcDialect::Flavor;

constexpr std::string_view grpc_type = "application/grpc";
constexpr std::string_view web_type = "application/grpc-web";
constexpr std::string_view text_suffix = "-text";
constexpr std::uint8_t trailers_flag = 0x80;

// What a media type says of a body.
struct Form {
  Flavor flavor = Flavor::http2;
  MessageFormat format = MessageFormat::proto;
  bool is_text = false;  // base64
};

std::optional<Form> form_of(Flavor flavor, std::string_view media_type) {
  Form form{.flavor = flavor};
  std::string_view rest = media_type.substr(
      std::min(media_type.size(), flavor == Flavor::web ? web_type.size() : grpc_type.size()));
  if (flavor == Flavor::web && rest.starts_with(text_suffix)) {
    form.is_text = true;
    rest.remove_prefix(text_suffix.size());
  }
  if (rest.empty() || rest == "+proto") return form;
  if (rest != "+json") return std::nullopt;
  form.format = MessageFormat::json;
  return form;
}

bool may_compress(const RawRequest& request) {
  return accepts_gzip(request.header("grpc-accept-encoding"));
}

Result<EnvelopeForm> envelope_form(const Form& form, const RawRequest& request,
                                   std::size_t bytes_max) {
  TRY_ASSIGN(const Encoding encoding,
             read_encoding(request.header("grpc-encoding"), "grpc-encoding"));
  return EnvelopeForm{.format = form.format,
                      .request_encoding = encoding,
                      .may_compress = may_compress(request),
                      .bytes_max = bytes_max};
}

Metadata head_fields(const std::string& media_type) {
  return {{"content-type", media_type}, {"grpc-accept-encoding", "gzip, identity"}};
}

void append(Metadata& fields, const Metadata& more) {
  fields.insert(fields.end(), more.begin(), more.end());
}

// The frame that ends a body of gRPC-Web.
std::string draw_trailer_frame(const Metadata& trailers) {
  std::string lines;
  for (const auto& [name, value] : trailers) {
    lines += to_lower(name);
    lines += ": ";
    lines += value;
    lines += "\r\n";
  }
  std::string frame;
  append_envelope(frame, trailers_flag, lines);
  return frame;
}

// Puts the end behind what `answer` already has.
void end_answer(RawAnswer& answer, const Form& form, const Result<void>& outcome,
                const Metadata& trailers) {
  Metadata fields;
  append_grpc_status(fields, outcome);
  append(fields, trailers);
  if (form.flavor == Flavor::web) {
    answer.body += draw_trailer_frame(fields);
  } else {
    answer.trailers = std::move(fields);
  }
}

RawAnswer trailers_only(const std::string& media_type, const Result<void>& outcome,
                        const Metadata& trailers) {
  RawAnswer answer{.headers = head_fields(media_type), .has_body = false};
  append_grpc_status(answer.headers, outcome);
  append(answer.headers, trailers);
  return answer;
}

class GrpcStream final : public StreamCodec {
 public:
  GrpcStream(const Method& method, Form form, Result<EnvelopeForm> envelope, std::string media_type)
      : form_(form),
        media_type_(std::move(media_type)),
        problem_(envelope ? Result<void>{} : Result<void>(envelope.error())),
        envelope_(envelope ? *envelope : EnvelopeForm{.format = form.format}),
        reader_(
            envelope_, *method.request,
            method.has_one_request() ? EnvelopeReader::Count::one : EnvelopeReader::Count::any) {}

  Result<void> add(std::string_view bytes) override {
    TRY(check());
    if (!form_.is_text) {
      reader_.add(bytes);
      return {};
    }
    TRY_ASSIGN(const std::string plain, base64_.take(bytes));
    reader_.add(plain);
    return {};
  }
  Result<MessagePtr> next() override { return reader_.next(); }

  Result<void> take_end() override {
    TRY(check());
    if (!base64_.is_whole()) {
      return Error{.code = Code::invalid_argument,
                   .message = "the body ends within a group of base64",
                   .reason = "MALFORMED_BODY"};
    }
    return reader_.take_end();
  }

  RawAnswer head(const Metadata& headers) override {
    RawAnswer answer{.headers = head_fields(media_type_)};
    if (envelope_.may_compress) answer.headers.emplace_back("grpc-encoding", "gzip");
    append(answer.headers, headers);
    return answer;
  }

  std::string write(const google::protobuf::Message& message) override {
    std::string bytes;
    append_message(bytes, envelope_, message);
    return form_.is_text ? base64(bytes) : bytes;
  }

  RawAnswer end(const Result<void>& outcome, const Metadata& trailers) override {
    RawAnswer answer;
    end_answer(answer, form_, outcome, trailers);
    if (form_.is_text) answer.body = base64(answer.body);
    return answer;
  }

  RawAnswer end_at_once(const Result<void>& outcome, const Metadata& trailers) override {
    return trailers_only(media_type_, outcome, trailers);
  }

 private:
  Result<void> check() const {
    if (!problem_) return problem_.error();
    return {};
  }

  const Form form_;
  const std::string media_type_;
  const Result<void> problem_;  // with the call's encoding
  const EnvelopeForm envelope_;
  EnvelopeReader reader_;
  Base64Decoder base64_;
};

}  // namespace

bool GrpcDialect::claims(Flavor flavor, std::string_view media_type) {
  const bool is_web = media_type.starts_with(web_type);
  return flavor == Flavor::web ? is_web : media_type.starts_with(grpc_type) && !is_web;
}

Dialect::Chosen GrpcDialect::choose(const RawRequest& request) const {
  if (request.method != "POST") {
    return {.method = nullptr, .refusal = refuse_verb("POST, OPTIONS")};
  }
  if (!form_of(flavor_, request.media_type)) {
    const std::string_view base = flavor_ == Flavor::web ? web_type : grpc_type;
    return {
        .method = nullptr,
        .refusal = refuse_media_type(request.media_type, fmt::format("{0}+proto, {0}+json", base))};
  }
  if (const Method* method = paths_.find(request.path)) return {.method = method, .refusal = {}};
  return {.method = nullptr, .refusal = write_error(unknown_method(request.path), request)};
}

std::size_t GrpcDialect::body_bytes_max(const RawRequest& request) const {
  const std::size_t bytes = message_bytes_max_ + Envelope::head_bytes;
  const auto form = form_of(flavor_, request.media_type);
  return form && form->is_text ? (bytes + 2) / 3 * 4 : bytes;
}

Result<std::optional<Duration>> GrpcDialect::timeout(const RawRequest& request) const {
  return read_grpc_timeout(request.header("grpc-timeout"));
}

Result<MessagePtr> GrpcDialect::read(const Method& method, RawRequest& request) const {
  const Form form = form_of(flavor_, request.media_type).value_or(Form{.flavor = flavor_});
  TRY_ASSIGN(const EnvelopeForm envelope, envelope_form(form, request, message_bytes_max_));
  if (!form.is_text) return read_only_message(envelope, *method.request, request.body);
  Base64Decoder base64;
  TRY_ASSIGN(const std::string plain, base64.take(request.body));
  return read_only_message(envelope, *method.request, plain);
}

RawAnswer GrpcDialect::write(const Outcome& outcome, const RawRequest& request) const {
  const std::string& media_type = request.media_type;
  if (!outcome.message && outcome.headers.empty()) {
    return trailers_only(media_type, outcome.message.error(), outcome.trailers);
  }
  Form form = form_of(flavor_, media_type).value_or(Form{.flavor = flavor_});
  RawAnswer answer{.headers = head_fields(media_type)};
  append(answer.headers, outcome.headers);
  Result<void> end;
  if (outcome.message) {
    const EnvelopeForm envelope{.format = form.format, .may_compress = may_compress(request)};
    if (append_message(answer.body, envelope, **outcome.message)) {
      answer.headers.emplace_back("grpc-encoding", "gzip");
    }
  } else {
    end = outcome.message.error();
  }
  end_answer(answer, form, end, outcome.trailers);
  if (form.is_text) answer.body = base64(answer.body);
  return answer;
}

std::unique_ptr<StreamCodec> GrpcDialect::open(const Method& method,
                                               const RawRequest& request) const {
  std::string media_type = request.media_type;
  const Form form = form_of(flavor_, media_type).value_or(Form{.flavor = flavor_});
  return std::make_unique<GrpcStream>(
      method, form, envelope_form(form, request, message_bytes_max_), std::move(media_type));
}

void append_grpc_status(Metadata& fields, const Result<void>& outcome) {
  if (outcome) {
    fields.emplace_back("grpc-status", "0");
    return;
  }
  const Error& error = outcome.error();
  fields.emplace_back("grpc-status", std::to_string(static_cast<int>(error.code)));
  if (!error.message.empty()) {
    fields.emplace_back("grpc-message", encode_grpc_message(error.message));
  }
  const std::string status = draw_binary_status(error);
  if (!status.empty()) {
    fields.emplace_back("grpc-status-details-bin", unpadded_base64(status));
  }
}

std::string encode_grpc_message(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (const char c : text) {
    if (c >= 0x20 && c <= 0x7e && c != '%') {
      out += c;
    } else {
      fmt::format_to(std::back_inserter(out), "%{:02X}", static_cast<std::uint8_t>(c));
    }
  }
  return out;
}

}  // namespace staithe::wire
