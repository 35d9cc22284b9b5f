#include "store/migrations/migrations.h"

namespace staithe::store::migrations {

std::span<const Migration> all() {
  static const Migration list[] = {{1, sql_0001_initial}, {2, sql_0002_usage}};
  return list;
}

}  // namespace staithe::store::migrations
