#pragma once

#include "base/result.h"
#include "model/catalogue.h"
#include "model/resource.h"
#include "staithe/v1/node.pb.h"

namespace staithe::service {

// Every rule for a machine that joins which needs the request and the catalogue and nothing that is
// stored.
Result<void> validate(const staithe::v1::JoinNodeRequest& request,
                      const model::Catalogue& catalogue);

// The id in the requests that only name a node, in its stored form: lower case. Any name that a
// host can have, for machines that a driver found have not been named by us.
Result<model::Id> read_node_id(const std::string& id);

}  // namespace staithe::service
