#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "wire/compression.h"
#include "wire/message_format.h"

namespace staithe::wire {

// A message with a head of five bytes: flags, and its length in network order. So gRPC, gRPC-Web
// and Connect's streams put several messages into one body
// (https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md,
// https://connectrpc.com/docs/protocol#streaming-rpcs).
struct Envelope {
  static constexpr std::size_t head_bytes = 5;
  static constexpr std::uint8_t compressed_flag = 0x01;

  std::uint8_t flags = 0;
  std::string_view payload;  // into the input
};

// Takes a whole envelope off the front of `input`; nothing while it is not all there.
// RESOURCE_EXHAUSTED as soon as its length is known to be above `bytes_max`.
Result<std::optional<Envelope>> take_envelope(std::string_view& input, std::size_t bytes_max);
void append_envelope(std::string& out, std::uint8_t flags, std::string_view payload);

// What the messages of one call look like in their envelopes.
struct EnvelopeForm {
  MessageFormat format = MessageFormat::proto;
  Encoding request_encoding = Encoding::identity;
  bool may_compress = false;  // the answers
  std::size_t bytes_max = 0;  // of a message, unpacked
};

// INTERNAL for a compressed message of a call without an encoding (the protocols' own choice).
Result<MessagePtr> read_enveloped(const EnvelopeForm& form,
                                  const google::protobuf::Message& prototype,
                                  const Envelope& envelope);
// The one message of a body. UNIMPLEMENTED when there is none or more than one, which is how the
// protocols report a wrong kind of call.
Result<MessagePtr> read_only_message(const EnvelopeForm& form,
                                     const google::protobuf::Message& prototype,
                                     std::string_view body);
// Returns whether the message was compressed.
bool append_message(std::string& out, const EnvelopeForm& form,
                    const google::protobuf::Message& message);

// Messages out of a body that arrives in pieces.
class EnvelopeReader {
 public:
  enum class Count : std::uint8_t { one, any };
  EnvelopeReader(EnvelopeForm form, const google::protobuf::Message& prototype, Count count)
      : form_(form), prototype_(prototype), count_(count) {}

  void add(std::string_view bytes);
  // Null while none is whole.
  Result<MessagePtr> next();
  // INVALID_ARGUMENT within a message, UNIMPLEMENTED when there should have been one.
  Result<void> take_end() const;

 private:
  const EnvelopeForm form_;
  const google::protobuf::Message& prototype_;
  const Count count_;
  std::string unread_;  // from start_ on
  std::size_t start_ = 0;
  std::uint64_t taken_ = 0;
};

}  // namespace staithe::wire
