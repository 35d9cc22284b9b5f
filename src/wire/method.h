#pragma once

#include <google/protobuf/message.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "auth/principal.h"
#include "base/clock.h"
#include "base/result.h"

namespace staithe::wire {

// Which spelling an answer uses where the dialects differ (the claim's capacity type): REST keeps
// what a client wrote through REST, everything else follows the descriptor.
enum class Spelling : std::uint8_t { rest, descriptor };

// What a method may know of its caller.
struct Call {
  auth::Principal principal;
  Spelling spelling = Spelling::descriptor;
  std::string request_id;
  std::string peer_address;
  Instant deadline = Instant::max();
};

using MessagePtr = std::unique_ptr<google::protobuf::Message>;
// Called once, on any thread.
using Reply = std::function<void(Result<MessagePtr>)>;

// One RPC. A method in the table is in every protocol, and there is none without a role.
struct Method {
  std::string service;  // full name: "coreweave.inference.v1alpha1.GatewayService"
  std::string name;     // "GetGateway"
  std::string verb;     // REST: GET, POST, PATCH or DELETE
  std::string path;     // REST: "/v1alpha1/inference/gateways/{id}"
  auth::Role role = auth::Role::admin;
  const google::protobuf::Message* request = nullptr;   // the default instance
  const google::protobuf::Message* response = nullptr;  // the default instance
  // Called on a loop thread and must not block; `request` moves to the method.
  std::function<void(Call, MessagePtr request, Reply)> handle;
};

using MethodTable = std::vector<Method>;

}  // namespace staithe::wire
