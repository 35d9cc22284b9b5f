#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "wire/dialect.h"
#include "wire/envelope.h"

namespace staithe::wire {

// Connect's unary protocol, binary and JSON (https://connectrpc.com/docs/protocol): POST, and GET
// for methods without side effects. Errors are JSON, also to binary calls.
class ConnectDialect final : public Dialect {
 public:
  static constexpr std::string_view binary_type = "application/proto";
  static constexpr std::string_view media_types = "application/proto, application/json";

  ConnectDialect(const RpcPaths& paths, std::size_t message_bytes_max)
      : paths_(paths), message_bytes_max_(message_bytes_max) {}

  DialectId id() const override { return DialectId::connect; }
  Spelling spelling() const override { return Spelling::descriptor; }
  Chosen choose(const RawRequest& request) const override;
  std::size_t body_bytes_max(const RawRequest&) const override { return message_bytes_max_; }
  Result<std::optional<Duration>> timeout(const RawRequest& request) const override;
  Result<MessagePtr> read(const Method& method, RawRequest& request) const override;
  RawAnswer write(const Outcome& outcome, const RawRequest& request) const override;

 private:
  const RpcPaths& paths_;
  const std::size_t message_bytes_max_;
};

// Connect's streams: enveloped messages and an end in JSON, all under status 200.
class ConnectStreamDialect final : public Dialect {
 public:
  ConnectStreamDialect(const RpcPaths& paths, std::size_t message_bytes_max)
      : paths_(paths), message_bytes_max_(message_bytes_max) {}

  static constexpr std::string_view media_types =
      "application/connect+proto, application/connect+json";

  static bool claims(std::string_view media_type) {
    return media_type.starts_with("application/connect+");
  }

  DialectId id() const override { return DialectId::connect_stream; }
  Spelling spelling() const override { return Spelling::descriptor; }
  Chosen choose(const RawRequest& request) const override;
  std::size_t body_bytes_max(const RawRequest&) const override;
  Result<std::optional<Duration>> timeout(const RawRequest& request) const override;
  // Only of calls that fail before there is a stream: this dialect has no unary methods.
  Result<MessagePtr> read(const Method& method, RawRequest& request) const override;
  RawAnswer write(const Outcome& outcome, const RawRequest& request) const override;
  std::unique_ptr<StreamCodec> open(const Method& method, const RawRequest& request) const override;

 private:
  const RpcPaths& paths_;
  const std::size_t message_bytes_max_;
};

}  // namespace staithe::wire
