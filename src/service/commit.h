#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <utility>

#include "base/result.h"
#include "service/caller.h"
#include "service/errors.h"
#include "store/store.h"

namespace staithe::service {

// What follows a transaction that was committed.
enum class Next : std::uint8_t {
  answer,
  prepare_again,  // it only paved the way (see the fence of references.h)
};

// What an operation wants written, and the answer once it is. An empty transaction needs no commit.
template <typename Response>
struct Prepared {
  store::Transaction transaction;
  Response response;
  Next next = Next::answer;
};

// Of any number of writers of one resource, one succeeds in each flush of the store, so this is
// also how many may meet there before one of them is turned away.
inline constexpr int commit_attempts_max = 128;

// Prepares and commits, and prepares anew whenever somebody else changed what was read: the last
// one committed wins, and each decided on what it really found. `translate` turns a taken key into
// the error the caller understands. No thread waits for the store's flush.
template <typename Response>
void prepare_and_commit(store::Store& store, std::function<Result<Prepared<Response>>()> prepare,
                        std::function<Error(Error)> translate, Done<Response> done,
                        int attempts_left = commit_attempts_max) {
  Result<Prepared<Response>> prepared = prepare();
  if (!prepared) return done(std::move(prepared).error());
  if (prepared->transaction.empty()) return done(std::move(prepared->response));
  const Next next = prepared->next;
  auto response = std::make_shared<Response>(std::move(prepared->response));
  store.commit(std::move(prepared->transaction),
               [&store, prepare = std::move(prepare), translate = std::move(translate),
                done = std::move(done), response, next,
                attempts_left](Result<store::Commit> outcome) mutable {
                 if (outcome && next == Next::answer) return done(std::move(*response));
                 if (!outcome && outcome.error().reason != store::reason_version_changed) {
                   return done(translate(std::move(outcome).error()));
                 }
                 if (attempts_left <= 1) return done(errors::concurrent_change());
                 prepare_and_commit<Response>(store, std::move(prepare), std::move(translate),
                                              std::move(done), attempts_left - 1);
               });
}

}  // namespace staithe::service
