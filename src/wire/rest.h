#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "wire/dialect.h"
#include "wire/error_drawing.h"

namespace staithe::wire {

// REST/JSON: the verbs and paths of the method table. A literal segment wins over {id}; a trailing
// slash is another path.
class RestDialect final : public Dialect {
 public:
  RestDialect(const MethodTable& table, RestErrorCode error_code, std::size_t body_bytes_max);

  DialectId id() const override { return DialectId::rest; }
  Spelling spelling() const override { return Spelling::rest; }
  Chosen choose(const RawRequest& request) const override;
  std::size_t body_bytes_max(const RawRequest&) const override { return body_bytes_max_; }
  Result<std::optional<Duration>> timeout(const RawRequest&) const override {
    return std::optional<Duration>{};
  }
  Result<MessagePtr> read(const Method& method, RawRequest& request) const override;
  RawAnswer write(const Outcome& outcome, const RawRequest& request) const override;

 private:
  struct Route {
    std::vector<std::string> segments;  // "{id}" matches any
    std::map<std::string, const Method*> by_verb;
  };
  const Route* find_route(std::string_view path) const;

  const RestErrorCode error_code_;
  const std::size_t body_bytes_max_;
  std::vector<Route> routes_;  // those without {id} first
};

}  // namespace staithe::wire
