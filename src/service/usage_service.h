#pragma once

#include "service/caller.h"
#include "service/options.h"
#include "staithe/v1/usage.pb.h"
#include "store/store.h"

namespace staithe::service {

// What was used, by whom. The sums are the gateways' and are written by others.
//
// Any thread; calls block for the store. What it is made from outlives it.
class UsageService {
 public:
  UsageService(store::Store& store, ServiceOptions options)
      : store_(store), options_(std::move(options)) {}

  void list(const Caller& caller, const staithe::v1::ListUsageRequest& request,
            Done<staithe::v1::ListUsageResponse> done);

 private:
  store::Store& store_;
  const ServiceOptions options_;
};

}  // namespace staithe::service
