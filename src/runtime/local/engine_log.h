#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace staithe::runtime {

// The output of an engine, in a file that the engine itself appends to, and the one before it.
class EngineLog {
 public:
  explicit EngineLog(std::string path) : path_(std::move(path)) {}

  // A new process begins a new file; the last one's becomes the older file.
  void begin() const;
  // When the file has grown beyond `bytes_max` it is copied to the older file and emptied. The
  // engine goes on appending to the same file: it may outlive this server, so that nobody could
  // take its lines through a pipe. Lines written between copying and emptying are lost.
  void rotate(std::uint64_t bytes_max) const;

  // The last lines, oldest first, as valid UTF-8 without control characters. Looks at no more than
  // the last 256 KiB of each file.
  std::vector<std::string> last_lines(std::size_t count) const;
  // The same of the running process alone.
  std::vector<std::string> last_lines_of_this_run(std::size_t count) const;

 private:
  std::string older_path() const { return path_ + ".1"; }

  std::string path_;
};

}  // namespace staithe::runtime
