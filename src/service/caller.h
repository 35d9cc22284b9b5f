#pragma once

#include <cstdint>
#include <functional>

#include "auth/principal.h"
#include "base/result.h"

namespace coreweave::inference::v1alpha1 {}

namespace staithe::service {

namespace pb = ::coreweave::inference::v1alpha1;

// The dialects differ in one spelling, that of a claim's capacity type: REST repeats what a client
// wrote through REST, every other dialect follows the descriptor.
enum class Spelling : std::uint8_t { rest, descriptor };

// Whoever calls has been authenticated and holds the role the method asks for.
struct Caller {
  auth::Principal principal;
  Spelling spelling = Spelling::descriptor;
};

// Called once: before the method returns if nothing had to be written, else on the thread the store
// answers on. It must be quick.
template <typename T>
using Done = std::function<void(Result<T>)>;

}  // namespace staithe::service
