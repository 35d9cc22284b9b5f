#include "wire/message_format.h"

#include <fmt/format.h>

#include "wire/json_mapper.h"

namespace staithe::wire {

Result<MessagePtr> parse_message(MessageFormat format, const google::protobuf::Message& prototype,
                                 std::string_view bytes) {
  MessagePtr message(prototype.New());
  if (format == MessageFormat::json) {
    TRY(parse_json(bytes, Spelling::descriptor, *message));
    return message;
  }
  if (message->ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) return message;
  return Error{.code = Code::invalid_argument,
               .message = fmt::format("the body is not a {}", message->GetTypeName()),
               .reason = "MALFORMED_BODY"};
}

std::string print_message(MessageFormat format, const google::protobuf::Message& message) {
  return format == MessageFormat::json ? print_json(message, Spelling::descriptor)
                                       : message.SerializeAsString();
}

}  // namespace staithe::wire
