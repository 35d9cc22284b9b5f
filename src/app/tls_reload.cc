#include "app/tls_reload.h"

#include <sys/stat.h>

#include <chrono>
#include <utility>

#include "base/time_text.h"

namespace staithe::app {
namespace {

constexpr std::chrono::milliseconds look_again_after{1'000};
constexpr std::string_view reloads_name = "staithe_tls_reloads_total";
constexpr std::string_view reloads_help = "Changes of the TLS files that were taken up or refused.";

}  // namespace

Result<std::unique_ptr<TlsReload>> TlsReload::open(net::TlsFiles files, const Clock& clock,
                                                   Metrics& metrics, const Log& log) {
  auto reload = std::make_unique<TlsReload>(std::move(files), clock, metrics, log, nullptr);
  TRY_ASSIGN(auto context, net::TlsContext::load(reload->files_));
  reload->take(std::move(context));
  return reload;
}

TlsReload::TlsReload(net::TlsFiles files, const Clock& clock, Metrics& metrics, const Log& log,
                     std::shared_ptr<const net::TlsContext> context)
    : files_(std::move(files)),
      clock_(clock),
      log_(log),
      expiry_(metrics.gauge("staithe_tls_certificate_expiry_timestamp_seconds",
                            "When the TLS certificate in force ends to be valid.")),
      successes_(metrics.counter(reloads_name, reloads_help, {{"outcome", "success"}})),
      failures_(metrics.counter(reloads_name, reloads_help, {{"outcome", "failure"}})),
      contexts_(std::move(context)),
      loaded_(marks()),
      seen_(loaded_) {}

TlsReload::~TlsReload() {
  stop();
}

void TlsReload::start() {
  thread_ = Thread("tls-reload", [this] { run(); });
}

void TlsReload::stop() {
  {
    const std::lock_guard lock(mutex_);
    is_stopping_ = true;
  }
  wake_.notify_one();
  thread_.join();
}

void TlsReload::run() {
  std::unique_lock lock(mutex_);
  while (!wake_.wait_for(lock, look_again_after, [this] { return is_stopping_; })) {
    lock.unlock();
    look();
    lock.lock();
  }
}

TlsReload::FileMark TlsReload::mark_of(const std::string& path) {
  struct stat status{};
  if (path.empty() || ::stat(path.c_str(), &status) != 0) return {};
  return {.device = status.st_dev,
          .inode = status.st_ino,
          .size = status.st_size,
          .changed_s = status.st_mtim.tv_sec,
          .changed_ns = status.st_mtim.tv_nsec};
}

TlsReload::Marks TlsReload::marks() const {
  return {mark_of(files_.certificate), mark_of(files_.key), mark_of(files_.client_ca)};
}

void TlsReload::look() {
  const Marks now = marks();
  const bool has_settled = std::exchange(seen_, now) == now;
  if (!has_settled || now == loaded_) return;
  loaded_ = now;
  auto context = net::TlsContext::load(files_);
  if (!context) {
    failures_.add();
    log_.error("the changed TLS files are refused; the certificate in force stays",
               {{"error", context.error().message}});
    return;
  }
  take(*std::move(context));
  successes_.add();
  log_.info("the changed TLS files are in force",
            {{"expires", format_timestamp(contexts_.current()->expires_at())}});
}

void TlsReload::take(std::shared_ptr<const net::TlsContext> context) {
  const Timestamp expiry = context->expires_at();
  contexts_.set(std::move(context));
  expiry_.set(std::chrono::floor<std::chrono::seconds>(expiry).time_since_epoch().count());
  if (expiry <= clock_.now()) {
    log_.warning("the TLS certificate has expired; clients will refuse it",
                 {{"certificate", files_.certificate}, {"expired", format_timestamp(expiry)}});
  }
}

}  // namespace staithe::app
