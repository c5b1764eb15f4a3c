// SPDX-License-Identifier: Apache-2.0
// How calls take turns and how their results are checked.
#include "race.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <ctime>
#include <limits>

namespace bench::report {
namespace {

/// Seconds since some moment; with `cpu_time` those in which this thread had a processor.
double now([[maybe_unused]] bool cpu_time) {
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

double seconds_of(const Call& call, int repetitions, bool cpu_time) {
  const double start = now(cpu_time);
  for (int k = 0; k < repetitions; ++k) call();
  return (now(cpu_time) - start) / repetitions;
}

/// A turn lasts 20 microseconds or more, long against the clock's own cost.
int repetitions_a_turn(const Call& call) {
  call();
  return static_cast<int>(std::clamp(std::ceil(20e-6 / seconds_of(call, 2, false)), 1.0, 1000.0));
}

}  // namespace

Race race(const std::vector<Call>& calls, const Probes& probes, const Settings& settings) {
  constexpr int most_rounds = 1000;
  const double never = std::numeric_limits<double>::infinity();
  std::vector<int> repetitions;
  for (const Call& call : calls) repetitions.push_back(repetitions_a_turn(call));
  Race result;
  result.seconds.assign(calls.size(), never);
  double product_seconds = never, spent = 0;
  const double start = now(false);
  while (result.rounds < settings.least ||
         (spent < settings.seconds && result.rounds < most_rounds)) {
    for (std::size_t c = 0; c < calls.size(); ++c)
      result.seconds[c] =
          std::min(result.seconds[c], seconds_of(calls[c], repetitions[c], settings.cpu_time));
    // The probe is short, and the first after other work often finds a slower clock.
    for (int probe = 0; probe < 3; ++probe) result.peak = std::max(result.peak, probes.fma());
    product_seconds = std::min(product_seconds, seconds_of(probes.product, 1, settings.cpu_time));
    ++result.rounds;
    spent = now(false) - start;
  }
  result.product = probes.product_flops / product_seconds;
  return result;
}

void keep(const Race& race, Row& row) {
  row.numbers["seconds"] = race.seconds[0];
  row.numbers["peak_gflops"] = race.peak / 1e9;
  row.numbers["eigen_product_gflops"] = race.product / 1e9;
  row.numbers["rounds"] = race.rounds;
}

bool correct(const Checked& call, Row& row, const Settings& settings) {
  const double error = call.error();
  row.numbers["error"] = std::max(row.numbers["error"], error);
  row.wrong = !(error <= settings.tolerance);
  return !row.wrong;
}

}  // namespace bench::report
