#pragma once

#include <google/protobuf/message.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "auth/principal.h"
#include "base/clock.h"
#include "base/result.h"

namespace staithe::wire {

// Which spelling an answer uses where the dialects differ (the claim's capacity type): REST keeps
// what a client wrote through REST, everything else follows the descriptor.
enum class Spelling : std::uint8_t { rest, descriptor };

// Fields beside the messages, as they are on the wire: the value of a name that ends in "-bin" is
// base64 already. A name may occur more than once.
using Metadata = std::vector<std::pair<std::string, std::string>>;

// What a method may know of its caller.
struct Call {
  auth::Principal principal;  // nobody, of a method that is public
  Spelling spelling = Spelling::descriptor;
  std::string request_id;
  std::string peer_address;
  std::optional<Duration> timeout;  // as the client gave it
  Instant deadline = Instant::max();
  // Of a method that wants them: the request's header fields, and the query of a Connect GET.
  Metadata metadata;
  std::string query;
};

using MessagePtr = std::unique_ptr<google::protobuf::Message>;

// What a call comes to.
struct Outcome {
  Outcome(Result<MessagePtr> result) : message(std::move(result)) {}
  Outcome(MessagePtr result) : message(std::move(result)) {}
  Outcome(Error error) : message(std::move(error)) {}

  Result<MessagePtr> message;
  // Beside those the protocol needs.
  Metadata headers;
  Metadata trailers;
};
// Called once, on any thread.
using Reply = std::function<void(Outcome)>;

// Where a streaming method answers. Any thread. Once the call is over, calls do nothing.
class AnswerStream {
 public:
  virtual ~AnswerStream() = default;
  // Before the first message; a method without headers of its own need not.
  virtual void send_headers(Metadata headers) = 0;
  virtual void send(MessagePtr message) = 0;
  virtual void end(Result<void> outcome, Metadata trailers) = 0;
  // The client does not read as fast as it is written to, or what was sent is still on its way to
  // the loop. A method that can wait does so until CallStream::on_writable(); until then it is not
  // given further messages either.
  virtual bool is_congested() const = 0;
};

// A streaming method's side of one call. Called on the loop's thread and must not block; destroyed
// there, once the call is over in whichever way.
class CallStream {
 public:
  virtual ~CallStream() = default;
  virtual void on_message(MessagePtr message) = 0;
  virtual void on_end() = 0;  // the client has said all; not called after an error
  virtual void on_writable() {}
};

// One RPC. A method in the table is in every protocol that can carry it, and there is none without
// a role.
struct Method {
  enum class Kind : std::uint8_t { unary, server_stream, client_stream, bidi_stream };

  std::string service;  // full name: "coreweave.inference.v1alpha1.GatewayService"
  std::string name;     // "GetGateway"
  std::string verb;     // REST: GET, POST, PATCH or DELETE; empty: REST does not have it
  std::string path;     // REST: "/v1alpha1/inference/gateways/{id}"
  auth::Role role = auth::Role::admin;
  bool is_public = false;        // no token is asked for: it tells nothing of any organization
  bool has_side_effects = true;  // without any, Connect may call it with GET
  bool wants_metadata = false;   // see Call::metadata
  Kind kind = Kind::unary;
  const google::protobuf::Message* request = nullptr;   // the default instance
  const google::protobuf::Message* response = nullptr;  // the default instance
  // Unary. Called on a loop thread and must not block; `request` moves to the method.
  std::function<void(Call, MessagePtr request, Reply)> handle;
  // The other kinds, likewise. A client that may send one message has sent exactly one when
  // on_end() is called.
  std::function<std::unique_ptr<CallStream>(Call, std::shared_ptr<AnswerStream>)> open;

  bool has_one_request() const { return kind == Kind::unary || kind == Kind::server_stream; }
};

using MethodTable = std::vector<Method>;

}  // namespace staithe::wire
