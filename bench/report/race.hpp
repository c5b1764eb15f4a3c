// SPDX-License-Identifier: Apache-2.0
// Calls that take turns in one process, and with them two probes of the machine: the FMA peak of
// this build's instruction set and a product of Eigen's, 512 x 512 x 512.
//
// What is compared is compared round by round, where turns stand side by side: a change of the
// machine's clock meets all of them alike. A neighbour does not, since it takes more of the caches
// than of the probe's registers. So the rounds fall into five repetitions, each with its median,
// and the best repetition counts; the median of all rounds is printed beside it.
//
// A turn begins with a call that is not timed, since it finds the caches as the others left them
// (3 to 5 % of a call at n = 2048). The FMA probe's turn is as long as the first call's (up to 20
// ms).
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "fma_peak.hpp"
#include "problem.hpp"
#include "row.hpp"
#include "timing.hpp"

namespace bench::report {

/// A call whose result can be checked.
struct Checked {
  Call run;
  std::function<double()> error;  ///< of one run, as a multiple of what is allowed
};

/// The two probes, in one scalar.
struct Probes {
  std::function<double()> fma;  ///< one measurement, in FLOP/s
  Call product;
  double product_flops;
};

inline int fma_rounds(const Settings& settings) {
  return settings.quick ? usual_fma_rounds / 100 : usual_fma_rounds;
}

template <class T>
Probes probes(const Settings& settings) {
  const Index n = settings.n(512);
  struct Product {
    MatrixX<T> A, B, C;
  };
  const auto x = std::make_shared<Product>(
      Product{random_matrix<T>(n, n, 21), random_matrix<T>(n, n, 22), MatrixX<T>(n, n)});
  return {[rounds = fma_rounds(settings)] { return fma_flops_once<T>(rounds); },
          [x] { x->C.noalias() = x->A * x->B; }, 2.0 * std::pow(double(n), 3)};
}

/// A round: seconds of the calls and FLOP/s of the probes.
struct Turns {
  std::vector<double> seconds;
  double peak = 0;     ///< of the FMA probe
  double product = 0;  ///< of Eigen's product
};

/// The median of f(turns) over some rounds.
template <class F>
double median_over(std::span<const Turns> rounds, const F& f) {
  std::vector<double> values;
  for (const Turns& turns : rounds) values.push_back(f(turns));
  return median(values);
}

struct Race {
  std::vector<Turns> rounds;

  template <class F>
  double median_of(const F& f) const {
    return median_over(rounds, f);
  }
  /// The best of the medians of five repetitions, or of as many as there are rounds.
  template <class F>
  double best_of(const F& f, const Goal& goal) const {
    const std::size_t count = std::min<std::size_t>(5, rounds.size());
    std::vector<double> medians;
    for (std::size_t k = 0; k < count; ++k) {
      const std::size_t first = k * rounds.size() / count, last = (k + 1) * rounds.size() / count;
      medians.push_back(median_over(std::span(rounds).subspan(first, last - first), f));
    }
    return goal.higher_is_better ? std::ranges::max(medians) : std::ranges::min(medians);
  }
  double seconds(std::size_t call) const {
    return median_of([=](const Turns& t) { return t.seconds[call]; });
  }
  double peak() const { return median_of(std::mem_fn(&Turns::peak)); }
  double product() const { return median_of(std::mem_fn(&Turns::product)); }
};

/// At least `settings.least` rounds, and more until `settings.seconds` are spent.
Race race(const std::vector<Call>& calls, const Probes& probes, const Settings& settings);

/// Fills a row whose value is f(turns), and writes down what it is computed from.
template <class F>
void keep(const Race& race, Row& row, const F& f) {
  row.value = race.best_of(f, row.goal);
  row.numbers["median"] = race.median_of(f);
  row.numbers["seconds"] = race.seconds(0);
  row.numbers["peak_gflops"] = race.peak() / 1e9;
  row.numbers["eigen_product_gflops"] = race.product() / 1e9;
  row.numbers["rounds"] = double(race.rounds.size());
}

/// The same of a row whose value is the time of the first call relative to that of the second.
void keep_ratio(const Race& race, Row& row);

/// Runs and checks a call before it is timed. False, with the row marked, where it is wrong.
bool correct(const Checked& call, Row& row, const Settings& settings);

/// A row whose value is the share of the FMA peak that a call with so many flops reaches.
struct Work {
  Checked call;
  double flops;
};
template <class T, class Make>
Plan share_of_peak(std::string work, std::string what, Goal goal, Make make) {
  const auto measure = [make](Row& row, const Settings& settings) {
    const Work timed = make(settings);
    if (!correct(timed.call, row, settings)) return;
    const Race result = race({timed.call.run}, probes<T>(settings), settings);
    keep(result, row, [&](const Turns& t) { return timed.flops / t.seconds[0] / t.peak; });
    row.numbers["gflops"] = timed.flops / result.seconds(0) / 1e9;
  };
  return {Row{work, what, "of the FMA peak", Unit::share, goal}, measure};
}

/// A row whose value is the time of one call relative to that of another.
struct Two {
  Checked call, base;
};
template <class Make>
Plan relative_time(std::string work, std::string what, std::string base, Goal goal, Make make) {
  const auto measure = [make](Row& row, const Settings& settings) {
    const Two two = make(settings);
    if (!correct(two.call, row, settings) || !correct(two.base, row, settings)) return;
    keep_ratio(race({two.call.run, two.base.run}, probes<float>(settings), settings), row);
  };
  return {Row{work, what, "of the time of " + base, Unit::ratio, goal}, measure};
}

}  // namespace bench::report
