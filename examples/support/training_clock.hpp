// SPDX-License-Identifier: Apache-2.0
// How far a training is that may end by steps, by time or by Ctrl-C.
#pragma once

#include <algorithm>
#include <chrono>

#include "interrupt.hpp"

namespace examples {

/// Starts when it is made. `limit` is in seconds; 0: none.
class TrainingClock {
 public:
  explicit TrainingClock(double limit) : limit_(limit) {}

  double seconds() const { return std::chrono::duration<double>(Clock::now() - start_).count(); }

  /// Whether the time is up or Ctrl-C was pressed.
  bool is_over() const { return interrupted() || (limit_ > 0 && seconds() >= limit_); }

  /// The share that is done: of the steps, as told, or of the time, whichever is further.
  double share_done(double of_steps) const {
    return limit_ > 0 ? std::min(1.0, std::max(of_steps, seconds() / limit_)) : of_steps;
  }

 private:
  using Clock = std::chrono::steady_clock;
  double limit_;
  Clock::time_point start_ = Clock::now();
};

}  // namespace examples
