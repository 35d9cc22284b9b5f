#include "service/taken.h"

#include "service/errors.h"
#include "store/records.h"

namespace staithe::service {

Result<void> refuse_taken(store::Store& store, const Identity& wanted) {
  TRY_ASSIGN(const auto same_id, store.get(wanted.kind, wanted.id));
  if (same_id) return errors::id_taken(wanted.kind, wanted.id);
  TRY_ASSIGN(const auto same_name,
             store.find(store::name_key(wanted.kind, wanted.organization, wanted.name)));
  if (same_name) return errors::name_taken(wanted.kind, wanted.name, same_name->id);
  return {};
}

Error translate_taken(Error error, const Identity& wanted) {
  if (error.reason == store::reason_id_taken) return errors::id_taken(wanted.kind, wanted.id);
  if (error.reason != store::reason_key_taken) return error;
  const store::UniqueKey name = store::name_key(wanted.kind, wanted.organization, wanted.name);
  if (error.violations.at(0).field == name.scope) {
    return errors::name_taken(wanted.kind, wanted.name, error.resources.at(0).name);
  }
  // Beside its name, what the API creates holds host names alone.
  return errors::dns_name_taken(error.violations.at(0).description);
}

}  // namespace staithe::service
