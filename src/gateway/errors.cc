#include "gateway/errors.h"

#include <fmt/format.h>

#include "base/encoding.h"

namespace staithe::gateway {
namespace {

constexpr std::string_view invalid_request = "invalid_request_error";
constexpr std::string_view server_error = "server_error";

// A made-up name may be as long as a body; the answer shows enough of it to recognise a typo.
constexpr std::size_t shown_name_bytes_max = 256;

std::string_view shown(std::string_view name) {
  return name.substr(0, shown_name_bytes_max);
}

std::string string_or_null(std::string_view text) {
  return text.empty() ? std::string("null") : json_quote(text);
}

}  // namespace

std::string draw(const ApiError& error) {
  return fmt::format(R"({{"error":{{"message":{},"type":{},"param":{},"code":{}}}}})",
                     json_quote(error.message), json_quote(error.type), string_or_null(error.param),
                     string_or_null(error.code));
}

namespace errors {

ApiError bad_request(std::string message, std::string_view param) {
  return {.status = 400, .type = invalid_request, .message = std::move(message), .param = param};
}

ApiError unauthorized() {
  return {.status = 401,
          .type = invalid_request,
          .code = "invalid_api_key",
          .message =
              "Missing or invalid API access token. Send it as \"Authorization: Bearer "
              "<token>\"."};
}

ApiError keys_not_verifiable() {
  return {.status = 401,
          .type = invalid_request,
          .code = "invalid_api_key",
          .message =
              "This gateway takes Weights & Biases API keys, and this server is not set up "
              "to verify them."};
}

ApiError invalid_wandb_key() {
  return {.status = 401,
          .type = invalid_request,
          .code = "invalid_api_key",
          .message =
              "Missing or invalid Weights & Biases API key. Send it as \"Authorization: Bearer "
              "<key>\"."};
}

ApiError wandb_unreachable() {
  return {
      .status = 503,
      .type = server_error,
      .code = "key_not_verified",
      .message = "Weights & Biases cannot be asked about this API key at the moment. Try again.",
      .retry_after_s = 5};
}

ApiError other_organization() {
  return {.status = 403,
          .type = invalid_request,
          .code = "permission_denied",
          .message = "This API access token belongs to another organization than the gateway."};
}

ApiError source_not_allowed() {
  return {.status = 403,
          .type = invalid_request,
          .code = "permission_denied",
          .message = "This gateway does not take requests from your address."};
}

ApiError not_found(std::string message) {
  return {
      .status = 404, .type = invalid_request, .code = "not_found", .message = std::move(message)};
}

ApiError model_not_found(std::string_view name) {
  return {.status = 404,
          .type = invalid_request,
          .code = "model_not_found",
          .message = fmt::format("The model `{}` does not exist on this gateway.", shown(name)),
          .param = "model"};
}

ApiError method_not_allowed(std::string message, std::string_view allow) {
  return {.status = 405,
          .type = invalid_request,
          .code = "method_not_allowed",
          .message = std::move(message),
          .allow = allow};
}

ApiError too_large(std::size_t bytes_max) {
  return {
      .status = 413,
      .type = invalid_request,
      .code = "request_too_large",
      .message = fmt::format("The request body is larger than the limit of {} bytes.", bytes_max)};
}

ApiError limit_reached(std::string message, std::uint32_t retry_after_s) {
  return {.status = 429,
          .type = "rate_limit_error",
          .code = "rate_limit_exceeded",
          .message = std::move(message),
          .retry_after_s = retry_after_s};
}

ApiError model_not_allowed(std::string_view name) {
  return {.status = 403,
          .type = invalid_request,
          .code = "permission_denied",
          .message = fmt::format("This API access token may not call the model `{}`.", shown(name)),
          .param = "model"};
}

ApiError replica_broke() {
  return {.status = 502,
          .type = server_error,
          .code = "bad_gateway",
          .message = "The model server broke off before it answered."};
}

ApiError queue_full(std::string_view model) {
  return {.status = 429,
          .type = "rate_limit_error",
          .code = "queue_full",
          .message = fmt::format("All replicas of the model `{}` are busy and too many requests "
                                 "wait for them already.",
                                 shown(model)),
          .retry_after_s = 5};
}

ApiError queue_wait_over(std::string_view model) {
  return {.status = 429,
          .type = "rate_limit_error",
          .code = "queue_timeout",
          .message = fmt::format(
              "All replicas of the model `{}` were busy for as long as a request may wait.",
              shown(model)),
          .retry_after_s = 5};
}

ApiError model_not_ready(std::string_view name) {
  return {.status = 503,
          .type = server_error,
          .code = "model_not_ready",
          .message = fmt::format("The model `{}` has no ready replica at the moment.", shown(name)),
          .retry_after_s = 5};
}

ApiError replica_too_slow() {
  return {.status = 504,
          .type = server_error,
          .code = "timeout",
          .message = "The model server did not answer in time."};
}

ApiError in_words(std::uint16_t status, std::string_view text) {
  return {.status = status,
          .type = status >= 500 ? server_error : invalid_request,
          .message = std::string(text)};
}

ApiError request_took_too_long() {
  return {.status = 504,
          .type = server_error,
          .code = "timeout",
          .message = "The request took longer than this gateway allows in all."};
}

}  // namespace errors
}  // namespace staithe::gateway
