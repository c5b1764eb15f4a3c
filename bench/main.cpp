// SPDX-License-Identifier: Apache-2.0
// The benchmark program: Google Benchmark's options, or --ratio for tables against plain Eigen.
//
//     attn_bench --benchmark_filter=causal      attn_bench --ratio [seconds a size, 0.1 by default]
#include <cstdlib>
#include <string>
#include <string_view>

#include <benchmark/benchmark.h>

#include "fma_peak.hpp"
#include "keep_heap.hpp"
#include "ratio.hpp"

int main(int argc, char** argv) {
  bench::keep_heap();
  if (argc > 1 && std::string_view(argv[1]) == "--ratio") {
    bench::print_ratios(argc > 2 ? std::atof(argv[2]) : 0.1);
    return 0;
  }
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  benchmark::AddCustomContext("fma_peak_f32_GFLOP/s",
                              std::to_string(bench::fma_peak<float>() / 1e9));
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
}
