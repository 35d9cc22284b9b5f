#pragma once

#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>

#include "wire/dialect.h"

namespace staithe::wire {

// Connect's unary protocol over HTTP POST, binary and JSON (https://connectrpc.com/docs/protocol).
// Errors are JSON, also to binary calls.
class ConnectDialect final : public Dialect {
 public:
  ConnectDialect(const MethodTable& table, std::size_t body_bytes_max);

  // True for paths of the form /<package>.<Service>/<Method> of a service we have.
  bool claims(std::string_view path) const;

  std::string_view name() const override { return "connect"; }
  Spelling spelling() const override { return Spelling::descriptor; }
  Chosen choose(const RawRequest& request) const override;
  Result<MessagePtr> read(const Method& method, RawRequest& request) const override;
  RawAnswer write(const google::protobuf::Message& message,
                  const RawRequest& request) const override;
  RawAnswer write_error(const Error& error) const override;

 private:
  const std::size_t body_bytes_max_;
  std::unordered_map<std::string, const Method*> by_path_;
  std::unordered_set<std::string> services_;
};

}  // namespace staithe::wire
