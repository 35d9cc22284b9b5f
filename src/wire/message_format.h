#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"
#include "wire/method.h"

namespace staithe::wire {

// How an RPC protocol's messages are encoded; JSON in the descriptor's spelling.
enum class MessageFormat : std::uint8_t { proto, json };

// A message like `prototype`. INVALID_ARGUMENT when the bytes are none.
Result<MessagePtr> parse_message(MessageFormat format, const google::protobuf::Message& prototype,
                                 std::string_view bytes);
std::string print_message(MessageFormat format, const google::protobuf::Message& message);

}  // namespace staithe::wire
