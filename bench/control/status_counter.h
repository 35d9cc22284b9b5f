#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "model/codec.h"
#include "store/forwarding_store.h"

namespace staithe::bench {

// A store as the control plane sees it, which counts the statuses it writes. Any thread.
//
// A status write is one Update step that carries the status of a claim, gateway or deployment. It
// tells a client something when, compared with what it replaces, it changes what programs decide
// by: the status word, the status or reason of a condition, a condition's coming or going, a
// claim's counts, a gateway's endpoints. A write that changes nothing but messages and times tells
// nothing.
class StatusCounter final : public store::ForwardingStore {
 public:
  using ForwardingStore::ForwardingStore;

  std::uint64_t commit_count() const { return commit_count_; }
  std::uint64_t status_write_count() const { return status_write_count_; }
  std::uint64_t telling_write_count() const { return telling_write_count_; }

  void commit(store::Transaction transaction, store::CommitDone done) override {
    std::uint64_t writes = 0;
    std::uint64_t telling = 0;
    for (const store::Step& step : transaction) {
      const auto* update = std::get_if<store::Update>(&step);
      if (update == nullptr || !update->status) continue;
      const auto before = inner_.get(update->kind, update->id);
      writes += 1;
      if (!before || !*before ||
          told(update->kind, (*before)->status) != told(update->kind, *update->status)) {
        telling += 1;
      }
    }
    inner_.commit(std::move(transaction),
                  [this, writes, telling, done = std::move(done)](Result<store::Commit> result) {
                    if (result) {
                      commit_count_ += 1;
                      status_write_count_ += writes;
                      telling_write_count_ += telling;
                    }
                    done(std::move(result));
                  });
  }

 private:
  // What a program that follows the resource decides by.
  struct Told {
    model::Status status = model::Status::unspecified;
    // Type, zone, status and reason of each condition.
    std::set<std::tuple<std::string, std::string, model::ConditionStatus, std::string>> conditions;
    std::uint64_t allocated = 0;
    std::uint64_t pending = 0;
    std::vector<std::string> endpoints;
    bool operator==(const Told&) const = default;
  };

  template <typename Status>
  static Status decoded(std::string_view text, Told& told) {
    Status status;
    if (!model::decode(text, status)) return {};
    told.status = status.status;
    for (const model::Condition& each : status.conditions) {
      told.conditions.emplace(each.type, each.zone, each.status, each.reason);
    }
    return status;
  }

  static Told told(store::Kind kind, std::string_view text) {
    Told told;
    if (kind == store::Kind::claim) {
      const auto status = decoded<model::ClaimStatus>(text, told);
      told.allocated = status.allocated_instances;
      told.pending = status.pending_instances;
    } else if (kind == store::Kind::gateway) {
      told.endpoints = decoded<model::GatewayStatus>(text, told).endpoints;
    } else if (kind == store::Kind::deployment) {
      decoded<model::DeploymentStatus>(text, told);
    }
    return told;
  }

  std::atomic<std::uint64_t> commit_count_{0};
  std::atomic<std::uint64_t> status_write_count_{0};
  std::atomic<std::uint64_t> telling_write_count_{0};
};

}  // namespace staithe::bench
