#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "wire/dialect.h"
#include "wire/envelope.h"

namespace staithe::wire {

// gRPC (https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md) and gRPC-Web
// (https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-WEB.md), which puts the trailers into the
// body and may wrap it all in base64. Messages as binary or JSON, compressed with gzip if asked.
// An answer without a message is its head alone ("Trailers-Only").
class GrpcDialect final : public Dialect {
 public:
  enum class Flavor : std::uint8_t { http2, web };

  GrpcDialect(const RpcPaths& paths, Flavor flavor, std::size_t message_bytes_max)
      : paths_(paths), flavor_(flavor), message_bytes_max_(message_bytes_max) {}

  // True for the media types that are this flavor's, also for those it will refuse.
  static bool claims(Flavor flavor, std::string_view media_type);

  DialectId id() const override {
    return flavor_ == Flavor::web ? DialectId::grpc_web : DialectId::grpc;
  }
  Spelling spelling() const override { return Spelling::descriptor; }
  Chosen choose(const RawRequest& request) const override;
  std::size_t body_bytes_max(const RawRequest& request) const override;
  Result<std::optional<Duration>> timeout(const RawRequest& request) const override;
  Result<MessagePtr> read(const Method& method, RawRequest& request) const override;
  RawAnswer write(const Outcome& outcome, const RawRequest& request) const override;
  std::unique_ptr<StreamCodec> open(const Method& method, const RawRequest& request) const override;

 private:
  const RpcPaths& paths_;
  const Flavor flavor_;
  const std::size_t message_bytes_max_;
};

// grpc-status, grpc-message and grpc-status-details-bin.
void append_grpc_status(Metadata& fields, const Result<void>& outcome);
// Everything but printable ASCII, and the percent sign, becomes %XX.
std::string encode_grpc_message(std::string_view text);

}  // namespace staithe::wire
