#include "store/migrations/migrations.h"

namespace staithe::store::migrations {

// A row per key and hour, which only ever grows.
constinit const std::string_view sql_0002_usage = R"sql(
CREATE TABLE usage (
  organization      TEXT    NOT NULL,
  hour              INTEGER NOT NULL,  -- seconds since 1970
  token             TEXT    NOT NULL,
  deployment        TEXT    NOT NULL,
  model             TEXT    NOT NULL,
  requests          INTEGER NOT NULL,
  aborted           INTEGER NOT NULL,
  failed            INTEGER NOT NULL,
  estimated         INTEGER NOT NULL,
  prompt_tokens     INTEGER NOT NULL,
  cached_tokens     INTEGER NOT NULL,
  completion_tokens INTEGER NOT NULL,
  PRIMARY KEY (organization, hour, token, deployment, model)
) STRICT, WITHOUT ROWID;
)sql";

}  // namespace staithe::store::migrations
