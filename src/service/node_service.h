#pragma once

#include <functional>
#include <mutex>
#include <string>

#include "base/clock.h"
#include "model/catalogue_slot.h"
#include "model/node.h"
#include "service/caller.h"
#include "service/node_use.h"
#include "service/options.h"
#include "staithe/v1/node.pb.h"
#include "store/records.h"
#include "store/store.h"

namespace staithe::service {

// The operations on nodes. A node record is the word of whoever made it: the driver's of machines
// that it lists, an administrator's of those that joined. That a node is to be drained is always an
// administrator's. What follows is the control plane's business.
//
// Any thread; every call blocks for the store. What it is made from outlives it.
class NodeService {
 public:
  NodeService(store::Store& store, const Clock& clock, model::CatalogueSlot& catalogue,
              ServiceOptions options);

  // Puts what joined in earlier runs into the catalogue. Before anything is served.
  Result<void> refresh_catalogue();

  void list(const Caller& caller, const staithe::v1::ListNodesRequest& request,
            Done<staithe::v1::ListNodesResponse> done);
  void get(const Caller& caller, const staithe::v1::GetNodeRequest& request,
           Done<staithe::v1::GetNodeResponse> done);
  void join(const Caller& caller, const staithe::v1::JoinNodeRequest& request,
            Done<staithe::v1::JoinNodeResponse> done);
  void drain(const Caller& caller, const staithe::v1::DrainNodeRequest& request,
             Done<staithe::v1::DrainNodeResponse> done);
  void resume(const Caller& caller, const staithe::v1::ResumeNodeRequest& request,
              Done<staithe::v1::ResumeNodeResponse> done);
  void remove(const Caller& caller, const staithe::v1::RemoveNodeRequest& request,
              Done<staithe::v1::RemoveNodeResponse> done);

 private:
  using Stored = store::Versioned<model::Node>;

  bool may_see(const Caller& caller, const model::Node& node) const;
  Result<void> check_may_change(const Caller& caller, const model::Node& node) const;
  Result<Stored> find(const Caller& caller, const model::Id& id);
  Result<staithe::v1::Node> draw(const Caller& caller, const model::Node& node);
  // Writes what `make_steps` makes of the node, anew whenever somebody else changed it meanwhile.
  Result<model::Node> change(const Caller& caller, const std::string& id,
                             const std::function<Result<store::Transaction>(Stored&)>& make_steps);
  Result<staithe::v1::Node> set_draining(const Caller& caller, const std::string& id,
                                         bool is_draining);

  store::Store& store_;
  const Clock& clock_;
  model::CatalogueSlot& catalogue_;
  const ServiceOptions options_;
  std::mutex refreshing_mutex_;  // held from reading the joined nodes to their catalogue
};

}  // namespace staithe::service
