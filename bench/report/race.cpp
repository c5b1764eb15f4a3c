// SPDX-License-Identifier: Apache-2.0
// How calls take turns and how their results are checked.
#include "race.hpp"

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <vector>

namespace bench::report {
namespace {

/// FLOP/s of the FMA probe in a turn as long as that of a call (20 ms at most), for the clock falls
/// under a load that lasts: the median, so that one interruption does not lower the peak.
double peak_of_a_turn(const Probes& probes, double seconds) {
  const double start = now(), lasts = std::min(seconds, 20e-3);
  std::vector<double> measured;
  do {
    measured.push_back(probes.fma());
  } while (now() - start < lasts);
  return median(measured);
}

}  // namespace

Race race(const std::vector<Call>& calls, const Probes& probes, const Settings& settings) {
  constexpr std::size_t most_rounds = 1000;
  std::vector<int> repetitions;
  for (const Call& call : calls) repetitions.push_back(repetitions_a_turn(call));
  Race race;
  const double start = now();
  while (std::ssize(race.rounds) < settings.least ||
         (now() - start < settings.seconds && race.rounds.size() < most_rounds)) {
    Turns turns;
    for (std::size_t c = 0; c < calls.size(); ++c) {
      calls[c]();
      turns.seconds.push_back(seconds_of(calls[c], repetitions[c], settings.cpu_time));
    }
    turns.peak = peak_of_a_turn(probes, turns.seconds[0] * repetitions[0]);
    turns.product = probes.product_flops / seconds_of(probes.product, 1, settings.cpu_time);
    race.rounds.push_back(turns);
  }
  return race;
}

void keep_ratio(const Race& race, Row& row) {
  keep(race, row, [](const Turns& t) { return t.seconds[0] / t.seconds[1]; });
  row.numbers["base_seconds"] = race.seconds(1);
}

bool correct(const Checked& call, Row& row, const Settings& settings) {
  const double error = call.error();
  row.numbers["error"] = std::max(row.numbers["error"], error);
  row.wrong = !(error <= settings.tolerance);
  return !row.wrong;
}

}  // namespace bench::report
