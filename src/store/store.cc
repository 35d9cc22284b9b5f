#include "store/store.h"

#include <condition_variable>
#include <mutex>
#include <optional>
#include <utility>

namespace staithe::store {

std::optional<RecordName> record_of(const Step& step) {
  return std::visit(
      [](const auto& one) -> std::optional<RecordName> {
        if constexpr (requires { one.id; }) {
          return RecordName{one.kind, one.id};
        } else {
          return std::nullopt;
        }
      },
      step);
}

Result<void> Store::each(const std::function<void(const Record&)>& take) {
  for (const Kind kind : {Kind::claim, Kind::gateway, Kind::deployment, Kind::node, Kind::replica,
                          Kind::token, Kind::limit}) {
    TRY_ASSIGN(const std::vector<Record> records, list(kind));
    for (const Record& record : records) take(record);
  }
  return {};
}

Result<Commit> Store::commit_and_wait(Transaction transaction) {
  std::mutex mutex;
  std::condition_variable arrived;
  std::optional<Result<Commit>> outcome;
  commit(std::move(transaction), [&mutex, &arrived, &outcome](Result<Commit> result) {
    // Notified under the lock: the waiter may destroy both as soon as it can take it.
    const std::lock_guard lock(mutex);
    outcome.emplace(std::move(result));
    arrived.notify_one();
  });
  std::unique_lock lock(mutex);
  arrived.wait(lock, [&outcome] { return outcome.has_value(); });
  return *std::move(outcome);
}

}  // namespace staithe::store
