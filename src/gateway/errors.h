#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace staithe::gateway {

// An answer of the gateway itself to a request that it cannot serve, in the shape that OpenAI
// clients understand. The views name string constants.
struct ApiError {
  std::uint16_t status = 500;
  std::string_view type;
  std::string_view code;            // empty: null
  std::string message;              // for the caller: a sentence, no secrets, no addresses
  std::string_view param;           // empty: null
  std::uint32_t retry_after_s = 0;  // 0: the caller is told nothing
  std::string_view allow;           // the Allow header of a 405

  bool operator==(const ApiError&) const = default;
};

// {"error":{"message":…,"type":…,"param":…,"code":…}}
std::string draw(const ApiError& error);

namespace errors {

ApiError bad_request(std::string message, std::string_view param = {});
ApiError unauthorized();
ApiError keys_not_verifiable();  // a Weights & Biases gateway on a server that cannot ask W&B
ApiError invalid_wandb_key();
ApiError wandb_unreachable();
ApiError other_organization();
ApiError source_not_allowed();
ApiError not_found(std::string message);
ApiError model_not_found(std::string_view name);
ApiError method_not_allowed(std::string message, std::string_view allow);
ApiError too_large(std::size_t bytes_max);
ApiError limit_reached(std::string message, std::uint32_t retry_after_s);
ApiError model_not_allowed(std::string_view name);  // to this token
ApiError replica_broke();
ApiError queue_full(std::string_view model);
ApiError queue_wait_over(std::string_view model);
ApiError model_not_ready(std::string_view name);
ApiError replica_too_slow();
ApiError in_words(std::uint16_t status, std::string_view text);  // an engine's own
ApiError request_took_too_long();

}  // namespace errors
}  // namespace staithe::gateway
