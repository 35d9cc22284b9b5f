#pragma once

#include <string_view>

#include "base/result.h"
#include "store/store.h"

// The errors of a commit, alike in every store.
namespace staithe::store::errors {

Error id_taken(Kind kind, std::string_view id);
Error key_taken(const UniqueKey& key, Kind holder_kind, std::string_view holder_id);
Error version_changed(Kind kind, std::string_view id);
Error unavailable();  // of a commit
Error unreadable();   // of a read
Error queue_full();

}  // namespace staithe::store::errors
