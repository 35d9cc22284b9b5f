#pragma once

#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "model/catalogue.h"
#include "model/node.h"

namespace staithe::model {

// The catalogue in force. It grows and shrinks with the machines that administrators join and
// remove; what the server started with stays. Any thread.
class CatalogueSlot {
 public:
  explicit CatalogueSlot(Catalogue base)
      : base_(std::move(base)), current_(std::make_shared<const Catalogue>(base_)) {}

  std::shared_ptr<const Catalogue> get() const {
    const std::lock_guard lock(mutex_);
    return current_;
  }

  // From now on it is what the server started with, and these machines.
  void set_joined(const std::vector<Node>& nodes) {
    Catalogue catalogue = base_;
    for (const Node& node : nodes) catalogue.add(node);
    auto next = std::make_shared<const Catalogue>(std::move(catalogue));
    const std::lock_guard lock(mutex_);
    current_ = std::move(next);
  }

 private:
  const Catalogue base_;
  mutable std::mutex mutex_;  // guards current_
  std::shared_ptr<const Catalogue> current_;
};

}  // namespace staithe::model
