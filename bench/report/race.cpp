// SPDX-License-Identifier: Apache-2.0
// How calls take turns and how their results are checked.
#include "race.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <ctime>
#include <iterator>

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

/// A turn lasts a millisecond or more: long against what the caches forget while others are at it.
constexpr double turn = 1e-3;

/// Repetitions that fill a turn. The first calls of a process are slow (pages, symbols), and would
/// leave a short call a turn that is too short.
int repetitions_a_turn(const Call& call) {
  double shortest = seconds_of(call, 1, false), spent = shortest;
  for (int tries = 0; tries < 20 && (tries < 3 || spent < turn); ++tries) {
    const double seconds = seconds_of(call, 2, false);
    shortest = std::min(shortest, seconds);
    spent += 2 * seconds;
  }
  return static_cast<int>(std::clamp(std::ceil(turn / shortest), 1.0, 1e5));
}

double median(std::vector<double> values) {
  const auto middle = values.begin() + std::ssize(values) / 2;
  std::ranges::nth_element(values, middle);
  return *middle;
}

/// FLOP/s of the FMA probe in a turn as long as that of a call (20 ms at most), for the clock falls
/// under a load that lasts: the median, so that one interruption does not lower the peak.
double peak_of_a_turn(const Probes& probes, double seconds) {
  const double start = now(false), lasts = std::min(seconds, 20e-3);
  std::vector<double> measured;
  do {
    measured.push_back(probes.fma());
  } while (now(false) - start < lasts);
  return median(measured);
}

}  // namespace

Race race(const std::vector<Call>& calls, const Probes& probes, const Settings& settings) {
  constexpr int most_rounds = 1000;
  std::vector<int> repetitions;
  for (const Call& call : calls) repetitions.push_back(repetitions_a_turn(call));
  std::vector<std::vector<double>> turns(calls.size());
  std::vector<double> peaks, product_turns;
  int rounds = 0;
  const double start = now(false);
  while (rounds < settings.least ||
         (now(false) - start < settings.seconds && rounds < most_rounds)) {
    for (std::size_t c = 0; c < calls.size(); ++c)
      turns[c].push_back(seconds_of(calls[c], repetitions[c], settings.cpu_time));
    peaks.push_back(peak_of_a_turn(probes, turns[0].back() * repetitions[0]));
    product_turns.push_back(seconds_of(probes.product, 1, settings.cpu_time));
    ++rounds;
  }
  const double flops = probes.product_flops;
  Race result{
      {{}, median(peaks), flops / median(product_turns)},
      {{}, *std::ranges::max_element(peaks), flops / *std::ranges::min_element(product_turns)},
      rounds};
  for (const std::vector<double>& of_call : turns) {
    result.median.seconds.push_back(median(of_call));
    result.best.seconds.push_back(*std::ranges::min_element(of_call));
  }
  return result;
}

void keep(const Race& race, Row& row) {
  row.numbers["seconds"] = race.median.seconds[0];
  row.numbers["best_seconds"] = race.best.seconds[0];
  row.numbers["peak_gflops"] = race.median.peak / 1e9;
  row.numbers["best_peak_gflops"] = race.best.peak / 1e9;
  row.numbers["eigen_product_gflops"] = race.median.product / 1e9;
  row.numbers["rounds"] = race.rounds;
}

void keep_ratio(const Race& race, Row& row) {
  keep(race, row);
  row.numbers["base_seconds"] = race.median.seconds[1];
  row.numbers["value_of_best"] = race.best.seconds[0] / race.best.seconds[1];
  row.value = race.median.seconds[0] / race.median.seconds[1];
}

bool correct(const Checked& call, Row& row, const Settings& settings) {
  const double error = call.error();
  row.numbers["error"] = std::max(row.numbers["error"], error);
  row.wrong = !(error <= settings.tolerance);
  return !row.wrong;
}

}  // namespace bench::report
