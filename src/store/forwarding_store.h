#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "store/store.h"

namespace staithe::store {

// A store that hands every call on to another, for those that change or watch a few of them.
class ForwardingStore : public Store {
 public:
  explicit ForwardingStore(Store& inner) : inner_(inner) {}

  Result<std::optional<Record>> get(Kind kind, std::string_view id) override {
    return inner_.get(kind, id);
  }
  std::shared_ptr<const Record> peek(Kind kind, std::string_view id) override {
    return inner_.peek(kind, id);
  }
  Result<std::vector<Record>> list(Kind kind, std::string_view organization) override {
    return inner_.list(kind, organization);
  }
  Result<std::optional<Record>> find(const UniqueKey& key) override { return inner_.find(key); }
  void commit(Transaction transaction, CommitDone done) override {
    inner_.commit(std::move(transaction), std::move(done));
  }
  Result<Changes> changes_since(std::uint64_t revision, std::size_t limit) override {
    return inner_.changes_since(revision, limit);
  }
  std::unique_ptr<Subscription> subscribe(std::function<void()> wake) override {
    return inner_.subscribe(std::move(wake));
  }
  Result<void> each(const std::function<void(const Record&)>& take) override {
    return inner_.each(take);
  }
  Result<std::vector<UsageRow>> usage(const UsageQuery& query) override {
    return inner_.usage(query);
  }

 protected:
  Store& inner_;
};

}  // namespace staithe::store
