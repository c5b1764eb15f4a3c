// SPDX-License-Identifier: Apache-2.0
// The benchmark program: Google Benchmark's options, or --ratio for tables against plain Eigen.
//
//     attn_bench --benchmark_filter=causal      attn_bench --ratio [seconds a size, 0.1 by default]
#include <cstdlib>
#include <string>
#include <string_view>

#if defined(__GLIBC__)
#include <malloc.h>
#endif

#include <benchmark/benchmark.h>

#include "fma_peak.hpp"
#include "ratio.hpp"

namespace {

/// Keeps freed memory in the process. Otherwise whether S (n_q x n_k) costs page faults in every
/// call of plain Eigen depends on what ran before, and attn looks up to twice as fast as it is.
void keep_heap() {
#if defined(__GLIBC__)
  constexpr int most = 32 << 20;  // the largest threshold that glibc takes
  mallopt(M_MMAP_THRESHOLD, most);
  mallopt(M_TRIM_THRESHOLD, 16 * most);
#endif
}

}  // namespace

int main(int argc, char** argv) {
  keep_heap();
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
