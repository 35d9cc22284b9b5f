#pragma once

#include <string>

#include "base/clock.h"
#include "model/resource.h"

// The steps of the life cycle that are decided before the answer is sent; reconcile decides the
// others.
namespace staithe::service {

// CREATING, with the conditions that say so.
void mark_created(model::StatusBase& status, Timestamp now, const std::string& message);

// The spec has changed: UPDATING, or still CREATING if it never was in service.
void mark_updated(model::StatusBase& status, Timestamp now, const std::string& message);

// DELETING.
void mark_deleting(model::StatusBase& status, Timestamp now, const std::string& message);

}  // namespace staithe::service
