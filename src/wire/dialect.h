#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "base/result.h"
#include "net/http_message.h"
#include "wire/method.h"

namespace staithe::wire {

// A request as the transport hands it over.
struct RawRequest {
  std::string method;
  std::string path;   // undecoded
  std::string query;  // undecoded
  net::OwnedHeaders headers;
  std::string media_type;  // of Content-Type, see media_type_of(); empty if there is none
  std::string body;        // once it is whole; empty while a stream is opened

  std::optional<std::string_view> header(std::string_view name) const { return headers.find(name); }
};

struct RawAnswer {
  std::uint16_t status = 200;
  Metadata headers;
  std::string body;
  Metadata trailers;
  bool has_body = true;  // false: the head says it all
};

// The bytes of one streaming call, both ways. Of the loop's thread.
class StreamCodec {
 public:
  virtual ~StreamCodec() = default;

  // Takes in a piece of the request. After an error nothing more can be read.
  virtual Result<void> add(std::string_view bytes) = 0;
  // The next message, one at a time, so that what is not wanted yet stays as small as it was sent;
  // null while none is whole.
  virtual Result<MessagePtr> next() = 0;
  // Once the request has ended and none is left: an error if it ended within a message.
  virtual Result<void> take_end() = 0;

  virtual RawAnswer head(const Metadata& headers) = 0;
  virtual std::string write(const google::protobuf::Message& message) = 0;
  // Body and trailers of the end.
  virtual RawAnswer end(const Result<void>& outcome, const Metadata& trailers) = 0;
  // A whole answer without a message: head and end in one.
  virtual RawAnswer end_at_once(const Result<void>& outcome, const Metadata& trailers) = 0;
};

enum class DialectId : std::uint8_t { rest, connect, connect_stream, grpc, grpc_web };
inline constexpr std::size_t dialect_count = 5;

// One protocol around the same call. Stateless; it decides how a request is read and how its
// outcome is written, and knows no service.
class Dialect {
 public:
  virtual ~Dialect() = default;
  virtual DialectId id() const = 0;
  std::string_view name() const;  // for metrics
  virtual Spelling spelling() const = 0;

  // Which method is called, before anything else of the request is looked at. An answer at once
  // means that there is none: a path, verb or media type nobody serves. The body need not be there.
  struct Chosen {
    const Method* method = nullptr;
    RawAnswer refusal;  // when method is null
  };
  virtual Chosen choose(const RawRequest& request) const = 0;
  // How long a body of this request may be as it is sent.
  virtual std::size_t body_bytes_max(const RawRequest& request) const = 0;
  // How long the client will wait, if it says so. From the head of its request on.
  virtual Result<std::optional<Duration>> timeout(const RawRequest& request) const = 0;

  virtual Result<MessagePtr> read(const Method& method, RawRequest& request) const = 0;
  virtual RawAnswer write(const Outcome& outcome, const RawRequest& request) const = 0;
  RawAnswer write_error(const Error& error, const RawRequest& request) const {
    return write(Outcome(error), request);
  }

  // Of a method that streams, which only a dialect that can carry it has chosen.
  virtual std::unique_ptr<StreamCodec> open(const Method& method, const RawRequest& request) const;
};

// The paths /<package>.<Service>/<Method> of a table, which all RPC protocols share.
class RpcPaths {
 public:
  explicit RpcPaths(const MethodTable& table);
  const Method* find(std::string_view path) const;
  // True for paths of a service we have.
  bool knows_service_of(std::string_view path) const;

 private:
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const {
      return std::hash<std::string_view>{}(text);
    }
  };
  std::unordered_map<std::string, const Method*, Hash, std::equal_to<>> by_path_;
  std::unordered_set<std::string, Hash, std::equal_to<>> services_;
};

// "application/json; charset=utf-8" without its parameters, in lower case.
std::string media_type_of(std::string_view content_type);
RawRequest make_raw_request(const net::RequestHead& head);

// A refusal for people: RPC clients go by its status. A JSON body would be read as an RPC error.
RawAnswer plain_refusal(std::uint16_t status, std::string_view text);
// 405 and 415, with the lists that Allow and Accept-Post carry.
RawAnswer refuse_verb(std::string_view allowed);
RawAnswer refuse_media_type(std::string_view given, std::string_view accepted);

Error unknown_method(std::string_view path);

Error body_too_large(std::size_t bytes_max);

}  // namespace staithe::wire
