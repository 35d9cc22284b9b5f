#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/result.h"

// Golden exchanges as text. A file is a story: one server, exchanges in order.
//
//   # Why this must be so.
//   as admin                  who calls from here on: admin, viewer, stranger (another
//                             organization) or nobody
//   settle                    lets the reconcilers finish what is pending
//   advance 5ms               moves the clock
//   only json                 the next exchange is not replayed in binary ("rest": in REST alone,
//                             "rpc": in all but REST)
//   call GatewayService/GetGateway {"id": "${G}"}
//   ---
//   ok
//   gateway.spec.name = "edge"    a value of the answer, as JSON; zero values also match an absent
//                                 member
//   rest gateway.x = "True"       the same, of the REST answer alone ("rpc": of all but REST)
//   count gateway.status.endpoints = 1
//   absent gateway.spec.weightsAndBiasesAuth
//   save G gateway.spec.id        for later use as ${G}
//
// or, in place of "ok":
//
//   error NOT_FOUND
//   message gateway ${G} not found
//   field resources.zones[0]: resources.zones[0] is not an available zone
//   resource gateway ${G}
//   precondition GATEWAY_IN_USE ${D}
//   quota cw1a2b
//
// "field" lines are the whole list in order (without ": ..." only the path is compared); the others
// name what must be there.
namespace staithe::tests {

struct Expectation {
  enum class Kind { equals, count, absent, save, message, field, resource, precondition, quota };
  enum class Scope { all, rest, rpc };
  Kind kind = Kind::equals;
  Scope scope = Scope::all;
  std::string subject;  // path, field, type or variable
  std::string object;   // JSON, description, name or path
  int line = 0;
};

struct Step {
  enum class Kind { with, as, settle, advance, call };
  Kind kind = Kind::call;
  std::string
      argument;         // of `with` and `as`; milliseconds of `advance`; "Service/Method" of `call`
  std::string request;  // JSON
  bool is_rest_replayed = true;
  bool is_connect_json_replayed = true;
  bool is_binary_replayed = true;
  std::string code = "OK";  // or the error's
  std::vector<Expectation> expectations;
  int line = 0;
};

Result<std::vector<Step>> parse_wire_file(const std::string& path);

}  // namespace staithe::tests
