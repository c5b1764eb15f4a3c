// SPDX-License-Identifier: Apache-2.0
// How a benchmark is registered, checked, timed and compared.
#include "work.hpp"

#include <algorithm>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <benchmark/benchmark.h>

namespace bench {
namespace {

/// What is made and measured once for all runs of one benchmark.
struct Prepared {
  explicit Prepared(Work made) : work(std::move(made)) {
    if (work.error) error = work.error();
    if (!(error <= 1)) return;
    for (const auto& plain : work.plain) {
      const double faster = time_ratio(plain, work.run, 0.2);
      ratio = ratio > 0 ? std::min(ratio, faster) : faster;
    }
  }
  Work work;
  double error = 0;
  double ratio = 0;
};

void measure(benchmark::State& state, const Prepared& prepared) {
  if (!(prepared.error <= 1)) {
    state.SkipWithError("the result is not that of the reference");
    return;
  }
  const double start = now();
  for (auto step : state) prepared.work.run();
  const double seconds = now() - start;
  using benchmark::Counter;
  const double flops = prepared.work.flops;
  state.counters["FLOP/s"] = Counter(flops, Counter::kIsIterationInvariantRate, Counter::kIs1000);
  state.counters["of_peak"] =
      flops * static_cast<double>(state.iterations()) / seconds / prepared.work.peak;
  if (prepared.ratio > 0) state.counters["x_plain"] = prepared.ratio;
}

}  // namespace

void add_benchmark(const std::string& name, std::function<Work()> make) {
  auto prepared = std::make_shared<std::optional<Prepared>>();
  benchmark::RegisterBenchmark(name.c_str(),
                               [prepared, make](benchmark::State& state) {
                                 if (!*prepared) prepared->emplace(make());
                                 measure(state, **prepared);
                               })
      ->UseRealTime()
      ->Unit(benchmark::kMicrosecond);
}

double time_ratio(const Call& first, const Call& second, double seconds) {
  constexpr std::size_t least = 5, most = 2000;
  const int of_first = repetitions_a_turn(first), of_second = repetitions_a_turn(second);
  std::vector<double> ratios;
  const double start = now();
  while (ratios.size() < least || (now() - start < seconds && ratios.size() < most))
    ratios.push_back(seconds_of(first, of_first) / seconds_of(second, of_second));
  return median(ratios);
}

}  // namespace bench
