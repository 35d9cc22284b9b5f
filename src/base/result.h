#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/check.h"

namespace staithe {

// The canonical status codes that gRPC, Connect and google.rpc.Status share, by number
// (https://github.com/googleapis/googleapis/blob/master/google/rpc/code.proto).
enum class Code : std::uint8_t {
  ok = 0,
  cancelled = 1,
  unknown = 2,
  invalid_argument = 3,
  deadline_exceeded = 4,
  not_found = 5,
  already_exists = 6,
  permission_denied = 7,
  resource_exhausted = 8,
  failed_precondition = 9,
  aborted = 10,
  out_of_range = 11,
  unimplemented = 12,
  internal = 13,
  unavailable = 14,
  data_loss = 15,
  unauthenticated = 16,
};

// "INVALID_ARGUMENT" and so on.
std::string_view code_name(Code code);

// Which field is wrong, by JSON path, and why, as a sentence for the caller.
struct FieldViolation {
  std::string field;
  std::string description;
  bool operator==(const FieldViolation&) const = default;
};

// The resource that is missing or in the way (google.rpc.ResourceInfo).
struct ResourceReference {
  std::string type;  // "capacity claim", "deployment", "gateway"
  std::string name;  // its id
  std::string description;
  bool operator==(const ResourceReference&) const = default;
};

// The state that forbids the call (google.rpc.PreconditionFailure).
struct PreconditionViolation {
  std::string type;  // "DELETING", "GATEWAY_IN_USE"
  std::string subject;
  std::string description;
  bool operator==(const PreconditionViolation&) const = default;
};

// The limit that was met (google.rpc.QuotaFailure).
struct QuotaViolation {
  std::string subject;
  std::string description;
  bool operator==(const QuotaViolation&) const = default;
};

// A detail that is a protobuf message already (google.protobuf.Any without its URL's host).
struct EncodedDetail {
  std::string type;   // full name
  std::string bytes;  // the message in binary
  bool operator==(const EncodedDetail&) const = default;
};

// Why a call failed, for the caller: no secret, no address, no stack. It is drawn in each wire
// dialect from these fields and nothing else.
struct Error {
  Code code = Code::internal;
  std::string message;  // a sentence
  std::string reason;   // a stable token for programs, listed in api/errors.md
  std::vector<FieldViolation> violations;
  std::vector<ResourceReference> resources;
  std::vector<PreconditionViolation> preconditions;
  std::vector<QuotaViolation> quotas;
  std::vector<EncodedDetail> details;  // besides those made of the fields above
  std::uint32_t retry_after_s = 0;     // 0: the caller is told nothing

  bool operator==(const Error&) const = default;
};

// A value or the Error that kept it from being made. The vocabulary is that of std::expected, which
// the library of g++ 12 lacks in C++20. The Error is boxed, so that a Result stays small.
template <typename T>
class [[nodiscard]] Result {
 public:
  using value_type = T;

  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}
  Result(Error error) : state_(std::in_place_index<1>, std::make_unique<Error>(std::move(error))) {}

  bool has_value() const { return state_.index() == 0; }
  explicit operator bool() const { return has_value(); }

  T& value() & {
    CHECK(has_value());
    return *std::get_if<0>(&state_);
  }
  const T& value() const& {
    CHECK(has_value());
    return *std::get_if<0>(&state_);
  }
  T&& value() && {
    CHECK(has_value());
    return std::move(*std::get_if<0>(&state_));
  }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T&& operator*() && { return std::move(*this).value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }

  const Error& error() const& {
    CHECK(!has_value());
    return **std::get_if<1>(&state_);
  }
  Error&& error() && {
    CHECK(!has_value());
    return std::move(**std::get_if<1>(&state_));
  }

 private:
  std::variant<T, std::unique_ptr<Error>> state_;
};

template <>
class [[nodiscard]] Result<void> {
 public:
  using value_type = void;

  Result() = default;
  Result(Error error) : error_(std::make_unique<Error>(std::move(error))) {}

  bool has_value() const { return error_ == nullptr; }
  explicit operator bool() const { return has_value(); }
  void value() const { CHECK(has_value()); }
  const Error& error() const& {
    CHECK(!has_value());
    return *error_;
  }
  Error&& error() && {
    CHECK(!has_value());
    return std::move(*error_);
  }

 private:
  std::unique_ptr<Error> error_;
};

// TRY(expression): hands the Error of a Result to our own caller, if there is one.
// TRY_ASSIGN(auto x, expression): the same, and binds the value.
#define STAITHE_CONCAT_INNER(a, b) a##b
#define STAITHE_CONCAT(a, b) STAITHE_CONCAT_INNER(a, b)
#define TRY(expression)                                            \
  do {                                                             \
    if (auto try_result = (expression); !try_result.has_value()) { \
      return std::move(try_result).error();                        \
    }                                                              \
  } while (false)
#define TRY_ASSIGN_IMPL(name, declaration, expression) \
  auto name = (expression);                            \
  if (!name.has_value()) {                             \
    return std::move(name).error();                    \
  }                                                    \
  declaration = std::move(name).value()
#define TRY_ASSIGN(declaration, expression) \
  TRY_ASSIGN_IMPL(STAITHE_CONCAT(try_result_, __COUNTER__), declaration, expression)

}  // namespace staithe
