// SPDX-License-Identifier: Apache-2.0
// How a benchmark is registered, checked, timed and compared.
#include "work.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <benchmark/benchmark.h>

namespace bench {
namespace {

double seconds_of(const std::function<void()>& call, int repetitions) {
  const auto start = std::chrono::steady_clock::now();
  for (int k = 0; k < repetitions; ++k) call();
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  return seconds.count() / repetitions;
}

double median(std::vector<double>& values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

/// What is made and measured once for all runs of one benchmark.
struct Prepared {
  explicit Prepared(Work made) : work(std::move(made)) {
    if (work.error) error = work.error();
    if (!(error <= 1)) return;
    for (const auto& plain : work.plain) {
      const Pair pair = interleaved(plain, work.run, 0.2);
      const double faster = pair.first / pair.second;
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
  const auto start = std::chrono::steady_clock::now();
  for (auto step : state) prepared.work.run();
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  using benchmark::Counter;
  const double flops = prepared.work.flops;
  state.counters["FLOP/s"] = Counter(flops, Counter::kIsIterationInvariantRate, Counter::kIs1000);
  state.counters["of_peak"] =
      flops * static_cast<double>(state.iterations()) / seconds.count() / prepared.work.peak;
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

Pair interleaved(const std::function<void()>& first, const std::function<void()>& second,
                 double seconds) {
  first();
  second();
  // Turns of 20 microseconds and more are long against the clock's own cost.
  const auto repetitions = [](const std::function<void()>& call) {
    return static_cast<int>(std::clamp(std::ceil(20e-6 / seconds_of(call, 3)), 1.0, 1000.0));
  };
  const int of_first = repetitions(first), of_second = repetitions(second);
  std::vector<double> firsts, seconds_;
  double spent = 0;
  while (firsts.size() < 5 || (spent < seconds && firsts.size() < 2000)) {
    firsts.push_back(seconds_of(first, of_first));
    seconds_.push_back(seconds_of(second, of_second));
    spent += firsts.back() * of_first + seconds_.back() * of_second;
  }
  return {median(firsts), median(seconds_)};
}

}  // namespace bench
