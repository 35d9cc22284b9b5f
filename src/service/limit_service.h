#pragma once

#include "base/clock.h"
#include "service/caller.h"
#include "service/options.h"
#include "staithe/v1/limit.pb.h"
#include "store/records.h"
#include "store/store.h"

namespace staithe::service {

// How much organizations and tokens may use. What is written here the gateways go by once the feed
// has told them.
//
// Any thread; every call blocks for the store. What it is made from outlives it.
class LimitService {
 public:
  LimitService(store::Store& store, const Clock& clock, ServiceOptions options)
      : store_(store), clock_(clock), options_(std::move(options)) {}

  void list(const Caller& caller, const staithe::v1::ListLimitsRequest& request,
            Done<staithe::v1::ListLimitsResponse> done);
  void get(const Caller& caller, const staithe::v1::GetLimitRequest& request,
           Done<staithe::v1::GetLimitResponse> done);
  void set(const Caller& caller, const staithe::v1::SetLimitRequest& request,
           Done<staithe::v1::SetLimitResponse> done);
  void remove(const Caller& caller, const staithe::v1::DeleteLimitRequest& request,
              Done<staithe::v1::DeleteLimitResponse> done);

 private:
  using Stored = store::Versioned<model::Limit>;

  Result<Stored> find(const Caller& caller, const std::string& id);
  Result<void> check_may_set(const Caller& caller, const model::Limit& limit) const;

  store::Store& store_;
  const Clock& clock_;
  const ServiceOptions options_;
};

}  // namespace staithe::service
