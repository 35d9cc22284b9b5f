#include "store/migrations/migrations.h"

namespace staithe::store::migrations {

// Rows of `resources` may be long (spec and status are texts of some kilobytes), so the table keeps
// its rowid and finds rows over indexes.
constinit const std::string_view sql_0001_initial = R"sql(
CREATE TABLE meta (
  name  TEXT PRIMARY KEY,
  value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO meta VALUES ('schema_version', 0), ('revision', 0), ('tombstones_pruned_to', 0);

CREATE TABLE resources (
  kind         INTEGER NOT NULL,
  id           TEXT    NOT NULL,
  organization TEXT    NOT NULL,
  spec         TEXT    NOT NULL,
  status       TEXT    NOT NULL,
  version      INTEGER NOT NULL,
  revision     INTEGER NOT NULL,
  created_at   INTEGER NOT NULL,  -- microseconds since 1970
  PRIMARY KEY (kind, id)
) STRICT;
CREATE INDEX resources_in_list_order ON resources (kind, created_at, id);
CREATE INDEX resources_by_organization ON resources (kind, organization, created_at, id);
CREATE INDEX resources_by_revision ON resources (revision);

CREATE TABLE unique_keys (
  scope TEXT    NOT NULL,
  key   TEXT    NOT NULL,
  kind  INTEGER NOT NULL,
  id    TEXT    NOT NULL,
  PRIMARY KEY (scope, key),
  FOREIGN KEY (kind, id) REFERENCES resources (kind, id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
CREATE INDEX unique_keys_by_holder ON unique_keys (kind, id);

CREATE TABLE tombstones (
  kind     INTEGER NOT NULL,
  id       TEXT    NOT NULL,
  revision INTEGER NOT NULL,
  PRIMARY KEY (kind, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX tombstones_by_revision ON tombstones (revision);
)sql";

}  // namespace staithe::store::migrations
