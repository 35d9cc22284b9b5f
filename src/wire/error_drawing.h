#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace staithe::wire {

// Which number the `code` of a REST error body is: the documents of the hosted API disagree.
enum class RestErrorCode : std::uint8_t { rpc, http };

// The HTTP status of a code, alike in REST and Connect (the usual google.rpc mapping;
// https://connectrpc.com/docs/protocol#error-codes).
std::uint16_t http_status(Code code);
// "invalid_argument": how Connect spells a code.
std::string_view connect_code(Code code);

// google.rpc.Status as JSON, details always present.
std::string draw_rest_error(const Error& error, RestErrorCode style);
// The error object of Connect's unary protocol, details as base64 of their binary form.
std::string draw_connect_error(const Error& error);
// google.rpc.Status in binary, for grpc-status-details-bin; empty if there are no details.
std::string draw_binary_status(const Error& error);

}  // namespace staithe::wire
