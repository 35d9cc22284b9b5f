#pragma once

#include <string>
#include <utility>

#include "base/result.h"
#include "base/unique_fd.h"

namespace staithe::store {

// A database belongs to one server at a time. One server follows another without a gap: the next
// one stands in line and is told by take() when its turn has come; the one before it gives the
// database up, and goes on with what is open until its process ends.
//
// All of it are locks (flock) on files beside the database, which the kernel frees however a
// process ends. Engines outlive us, so none of the descriptors is inherited.

// The place of the one who waits for a database; given up with the descriptor.
// FAILED_PRECONDITION if another one waits already.
Result<UniqueFd> stand_in_line(const std::string& path);

class Ownership {
 public:
  // Takes the database at `path`, and makes the file if there is none (readable by its owner only:
  // it holds secrets). FAILED_PRECONDITION "DATABASE_IN_USE" while another server has it.
  static Result<Ownership> take(const std::string& path);

  // Some server has the database at `path`.
  static bool is_taken(const std::string& path);

  Ownership(Ownership&&) = default;
  Ownership& operator=(Ownership&&) = default;

  // Somebody stands in line.
  bool has_successor() const;
  // Somebody gave the database up and still has requests to finish.
  bool has_predecessor() const;
  void give_up();

 private:
  Ownership(std::string path, UniqueFd lock) : path_(std::move(path)), lock_(std::move(lock)) {}

  std::string path_;
  UniqueFd lock_;
  UniqueFd leaving_;  // locked from giving up to the end
};

}  // namespace staithe::store
