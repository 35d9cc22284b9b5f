#pragma once

#include <string>

#include "service/caller.h"
#include "service/errors.h"
#include "service/options.h"

// Who sees and changes what belongs to other organizations: the operator's, where there is one.
namespace staithe::service {

inline bool is_operator(const ServiceOptions& options, const Caller& caller) {
  return !options.operator_organization.empty() &&
         caller.principal.organization == options.operator_organization;
}

// The organization that a list is narrowed to when its request names `wanted` (empty: whatever the
// caller may see); empty: all of them.
inline Result<std::string> visible_organization(const ServiceOptions& options, const Caller& caller,
                                                const std::string& wanted) {
  if (is_operator(options, caller)) return wanted;
  if (!wanted.empty() && wanted != caller.principal.organization)
    return errors::operator_required();
  return caller.principal.organization;
}

}  // namespace staithe::service
