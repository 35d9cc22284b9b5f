#pragma once

#include "wire/method.h"

namespace staithe::wire {

// Adds server reflection, versions v1 and v1alpha
// (https://github.com/grpc/grpc/blob/master/doc/server-reflection.md): it tells of the services
// that `table` has by then, of itself, and of every type that is compiled in. Public: the contract
// is no secret.
void add_reflection(MethodTable& table);

}  // namespace staithe::wire
