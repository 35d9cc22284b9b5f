#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "runtime/driver.h"
#include "runtime/local/process.h"

namespace staithe::runtime {

// What the next run of the server must know to take a replica over.
struct ReplicaRecord {
  ReplicaSpec spec;
  std::uint16_t port = 0;
  std::string boot_id;      // of the boot in which `process` was started
  ProcessIdentity process;  // pid 0: about to be started

  bool operator==(const ReplicaRecord&) const = default;
};

std::string encode(const ReplicaRecord& record);
Result<ReplicaRecord> decode_record(std::string_view text);

// The directory of one replica: its record, its log, and where its process runs. Only the owner of
// the server may read it, since the engine environment and log lines can be confidential.
class ReplicaFiles {
 public:
  // `replica_id` must satisfy is_usable_id().
  ReplicaFiles(std::string_view engines_directory, std::string_view replica_id);

  // Letters, digits, '.', '_' and '-', not starting with a dot: what is safe as a file name.
  static bool is_usable_id(std::string_view replica_id);
  // The ids of all replicas that have a directory.
  static std::vector<std::string> find_ids(const std::string& engines_directory);

  const std::string& directory() const { return directory_; }
  std::string log_path() const { return directory_ + "/log"; }

  Result<void> create() const;
  // Replaces the record as a whole: a reader sees the old one or the new one. It is not forced to
  // the disk, because it matters only as long as the machine stays up: no engine outlives a boot.
  Result<void> write(const ReplicaRecord& record) const;
  // NOT_FOUND or DATA_LOSS.
  Result<ReplicaRecord> read() const;
  bool exists() const;
  // Everything, the log included.
  Result<void> remove() const;

 private:
  std::string directory_;
};

}  // namespace staithe::runtime
