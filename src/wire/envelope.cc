#include "wire/envelope.h"

#include <fmt/format.h>

#include <utility>

#include "base/free_memory.h"
#include "wire/dialect.h"

namespace staithe::wire {
namespace {

Error wrong_message_count() {
  return {.code = Code::unimplemented,
          .message = "this method takes exactly one message",
          .reason = "WRONG_MESSAGE_COUNT"};
}

Error cut_short() {
  return {.code = Code::invalid_argument,
          .message = "the request ends within a message",
          .reason = "MALFORMED_BODY"};
}

void append_head(std::string& out, std::uint8_t flags, std::size_t size) {
  out.reserve(out.size() + Envelope::head_bytes + size);
  out += static_cast<char>(flags);
  for (int shift = 24; shift >= 0; shift -= 8) out += static_cast<char>(size >> shift & 0xff);
}

}  // namespace

Result<std::optional<Envelope>> take_envelope(std::string_view& input, std::size_t bytes_max) {
  if (input.size() < Envelope::head_bytes) return std::optional<Envelope>{};
  std::size_t size = 0;
  for (std::size_t i = 1; i < Envelope::head_bytes; ++i) {
    size = size << 8 | static_cast<std::uint8_t>(input[i]);
  }
  if (size > bytes_max) return body_too_large(bytes_max);
  if (input.size() - Envelope::head_bytes < size) return std::optional<Envelope>{};
  const Envelope envelope{.flags = static_cast<std::uint8_t>(input[0]),
                          .payload = input.substr(Envelope::head_bytes, size)};
  input.remove_prefix(Envelope::head_bytes + size);
  return std::optional<Envelope>{envelope};
}

void append_envelope(std::string& out, std::uint8_t flags, std::string_view payload) {
  append_head(out, flags, payload.size());
  out += payload;
}

Result<MessagePtr> read_enveloped(const EnvelopeForm& form,
                                  const google::protobuf::Message& prototype,
                                  const Envelope& envelope) {
  if ((envelope.flags & ~Envelope::compressed_flag) != 0) {
    return Error{.code = Code::invalid_argument,
                 .message = fmt::format("a message has unknown flags {:#04x}", envelope.flags),
                 .reason = "MALFORMED_BODY"};
  }
  if ((envelope.flags & Envelope::compressed_flag) == 0) {
    return parse_message(form.format, prototype, envelope.payload);
  }
  if (form.request_encoding == Encoding::identity) {
    return Error{.code = Code::internal,
                 .message = "a message is compressed, and the call names no encoding",
                 .reason = "MALFORMED_BODY"};
  }
  TRY_ASSIGN(const std::string plain, gunzip(envelope.payload, form.bytes_max));
  return parse_message(form.format, prototype, plain);
}

Result<MessagePtr> read_only_message(const EnvelopeForm& form,
                                     const google::protobuf::Message& prototype,
                                     std::string_view body) {
  std::string_view left = body;
  TRY_ASSIGN(const std::optional<Envelope> envelope, take_envelope(left, form.bytes_max));
  if (!envelope) return body.empty() ? wrong_message_count() : cut_short();
  if (!left.empty()) return wrong_message_count();
  return read_enveloped(form, prototype, *envelope);
}

bool append_message(std::string& out, const EnvelopeForm& form,
                    const google::protobuf::Message& message) {
  if (form.format == MessageFormat::proto) {
    const std::size_t size = message.ByteSizeLong();
    if (!form.may_compress || size < compressed_bytes_min) {
      append_head(out, 0, size);
      const std::size_t start = out.size();
      out.resize(start + size);
      message.SerializeWithCachedSizesToArray(reinterpret_cast<std::uint8_t*>(out.data()) + start);
      return false;
    }
  }
  const std::string payload = print_message(form.format, message);
  const bool is_compressed = form.may_compress && payload.size() >= compressed_bytes_min;
  if (is_compressed) {
    append_envelope(out, Envelope::compressed_flag, gzip(payload));
  } else {
    append_envelope(out, 0, payload);
  }
  return is_compressed;
}

void EnvelopeReader::add(std::string_view bytes) {
  unread_.erase(0, std::exchange(start_, 0));
  unread_ += bytes;
}

Result<MessagePtr> EnvelopeReader::next() {
  std::string_view left = std::string_view(unread_).substr(start_);
  TRY_ASSIGN(const std::optional<Envelope> envelope, take_envelope(left, form_.bytes_max));
  if (!envelope) return MessagePtr{};
  start_ = unread_.size() - left.size();
  if (++taken_ > 1 && count_ == Count::one) return wrong_message_count();
  auto message = read_enveloped(form_, prototype_, *envelope);
  if (left.empty()) {
    free_memory(unread_);
    start_ = 0;
  }
  return message;
}

Result<void> EnvelopeReader::take_end() const {
  if (start_ < unread_.size()) return cut_short();
  if (count_ == Count::one && taken_ == 0) return wrong_message_count();
  return {};
}

}  // namespace staithe::wire
