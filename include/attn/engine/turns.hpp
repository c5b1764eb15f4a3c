// SPDX-License-Identifier: Apache-2.0
// Turns: tasks that add to the same sum do so one after the other, in the order of their numbers,
// whoever runs them. So the sum has the same bits for any number of threads.
#pragma once

#include <atomic>
#include <cstddef>
#include <vector>

#include <attn/config.hpp>

ATTN_BEGIN_NAMESPACE
namespace engine {

/// One counter a sum. An executor starts tasks in order, so whoever waits, waits for a task that is
/// under way.
class Turns {
 public:
  explicit Turns(Index sums) : next_(static_cast<std::size_t>(sums)) {}

  /// Waits until it is `turn`'s turn. False where a task has failed, which ends the call.
  bool wait(Index sum, Index turn) {
    std::atomic<Index>& next = next_[static_cast<std::size_t>(sum)];
    for (Index now = next.load(); now != turn; now = next.load()) {
      if (now == failed) return false;
      next.wait(now);
    }
    return true;
  }
  /// For the task whose turn it is. A failure stays one.
  void pass(Index sum) {
    std::atomic<Index>& next = next_[static_cast<std::size_t>(sum)];
    Index now = next.load();
    if (now != failed && next.compare_exchange_strong(now, now + 1)) next.notify_all();
  }
  /// Wakes everyone who waits: a task has thrown.
  void fail() {
    for (std::atomic<Index>& next : next_) {
      next = failed;
      next.notify_all();
    }
  }

 private:
  static constexpr Index failed = -1;
  std::vector<std::atomic<Index>> next_;
};

/// Fails the turns of a task that ends before it is done.
struct FailTurns {
  Turns& turns;
  bool done = false;
  ~FailTurns() {
    if (!done) turns.fail();
  }
};

}  // namespace engine
ATTN_END_NAMESPACE
