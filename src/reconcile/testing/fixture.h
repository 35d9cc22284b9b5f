#pragma once

#include <gtest/gtest.h>

#include <utility>
#include <vector>

#include "reconcile/testing/rig.h"

namespace staithe::reconcile::testing {

using Statuses = std::vector<model::Status>;

// A rig whose witness has the last word.
class ReconcileTest : public ::testing::Test {
 protected:
  ~ReconcileTest() override {
    for (const std::string& fault : rig_.witness.faults()) ADD_FAILURE() << fault;
  }

  void deploy(model::DeploymentSpec spec) {
    const model::Id id = spec.id;
    rig_.create(std::move(spec));
    ASSERT_TRUE(
        rig_.run_until([this, &id] { return rig_.deployment_is(id, model::Status::ready); }));
  }

  Rig rig_;
};

}  // namespace staithe::reconcile::testing
