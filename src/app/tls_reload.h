#pragma once

#include <sys/types.h>

#include <array>
#include <condition_variable>
#include <cstdint>
#include <ctime>
#include <memory>
#include <mutex>
#include <string>

#include "base/clock.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/thread.h"
#include "net/tls_context.h"

namespace staithe::app {

// Keeps the TLS context in step with its files. Looks at them every second, because that sees a
// renamed file, a moved symbolic link and a remounted volume alike; takes a change up once it has
// lasted from one look to the next, so that two files may be replaced one after the other. A change
// that does not load is told once, and what was in force stays so.
class TlsReload {
 public:
  // Loads the files for the first time. INVALID_ARGUMENT says which is bad and what to do.
  static Result<std::unique_ptr<TlsReload>> open(net::TlsFiles files, const Clock& clock,
                                                 Metrics& metrics, const Log& log);
  // open() is how one is made.
  TlsReload(net::TlsFiles files, const Clock& clock, Metrics& metrics, const Log& log,
            std::shared_ptr<const net::TlsContext> context);
  ~TlsReload();
  TlsReload(const TlsReload&) = delete;
  TlsReload& operator=(const TlsReload&) = delete;

  const net::TlsContextSlot& contexts() const { return contexts_; }
  void start();
  void stop();

 private:
  // What changes when a file does, through any links; all zero when there is none.
  struct FileMark {
    dev_t device = 0;
    ino_t inode = 0;
    off_t size = 0;
    std::int64_t changed_s = 0;
    std::int64_t changed_ns = 0;
    bool operator==(const FileMark&) const = default;
  };
  using Marks = std::array<FileMark, 3>;
  static FileMark mark_of(const std::string& path);
  Marks marks() const;

  void run();
  void look();
  void take(std::shared_ptr<const net::TlsContext> context);

  const net::TlsFiles files_;
  const Clock& clock_;
  const Log& log_;
  Gauge& expiry_;
  Counter& successes_;
  Counter& failures_;
  net::TlsContextSlot contexts_;
  Marks loaded_;  // what was last tried
  Marks seen_;    // at the last look

  std::mutex mutex_;  // guards is_stopping_
  std::condition_variable wake_;
  bool is_stopping_ = false;
  Thread thread_;
};

}  // namespace staithe::app
