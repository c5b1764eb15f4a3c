// SPDX-License-Identifier: Apache-2.0
// What benchmarks measure with that take turns, so that all of them see the same disturbances.
#pragma once

#include <algorithm>
#include <chrono>
#include <cmath>
#include <ctime>
#include <functional>
#include <iterator>
#include <vector>

namespace bench {

using Call = std::function<void()>;

/// Seconds since some moment; with `cpu_time` those in which this thread had a processor.
inline double now([[maybe_unused]] bool cpu_time = false) {
#if defined(CLOCK_THREAD_CPUTIME_ID)
  if (cpu_time) {
    std::timespec t{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return double(t.tv_sec) + 1e-9 * double(t.tv_nsec);
  }
#endif
  const auto since = std::chrono::steady_clock::now().time_since_epoch();
  return std::chrono::duration<double>(since).count();
}

/// Seconds of one call, measured over so many.
inline double seconds_of(const Call& call, int repetitions, bool cpu_time = false) {
  const double start = now(cpu_time);
  for (int k = 0; k < repetitions; ++k) call();
  return (now(cpu_time) - start) / repetitions;
}

/// Repetitions that fill a turn of a millisecond: long against what the caches forget while others
/// are at it. The first calls of a process are slow (pages, symbols), and would leave a short call
/// a turn that is too short.
inline int repetitions_a_turn(const Call& call) {
  constexpr double turn = 1e-3;
  double shortest = seconds_of(call, 1), spent = shortest;
  for (int tries = 0; tries < 20 && (tries < 3 || spent < turn); ++tries) {
    const double seconds = seconds_of(call, 2);
    shortest = std::min(shortest, seconds);
    spent += 2 * seconds;
  }
  return static_cast<int>(std::clamp(std::ceil(turn / shortest), 1.0, 1e5));
}

inline double median(std::vector<double> values) {
  const auto middle = values.begin() + std::ssize(values) / 2;
  std::ranges::nth_element(values, middle);
  return *middle;
}

}  // namespace bench
