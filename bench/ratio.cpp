// SPDX-License-Identifier: Apache-2.0
// The tables of --ratio: interleaved medians over n and d, one for each way to write it plainly.
#include "ratio.hpp"

#include <cstdio>

#include <benchmark/benchmark.h>

#include <attn/attention.hpp>

#include "baseline/plain_eigen.hpp"
#include "problem.hpp"
#include "work.hpp"

namespace bench {
namespace {

template <class F>
auto timed(F&& product) {
  return [=] {
    MatrixX<float> O = product();
    benchmark::DoNotOptimize(O.data());
  };
}

using Plain = MatrixX<float> (*)(const MatrixX<float>&, const MatrixX<float>&,
                                 const MatrixX<float>&, plain_eigen::Mask);

/// time(attn) / time(plain Eigen)
double ratio_at(Index n, Index d, Plain plain, double seconds) {
  const Problem<float> p(n, d);
  return time_ratio(timed([&] { return attn::attention(p.Q, p.K, p.V); }),
                    timed([&] { return plain(p.Q, p.K, p.V, plain_eigen::Mask::none); }), seconds);
}

void print_table(Plain plain, double seconds) {
  const Index features[] = {4, 8, 16, 32, 64, 80, 128, 256};
  std::printf("     n");
  for (const Index d : features) std::printf("  d=%-5d", static_cast<int>(d));
  std::printf("\n");
  for (const Index n : {1, 2, 3, 5, 8, 16, 32, 64, 128, 512, 2048}) {
    std::printf("%6d", static_cast<int>(n));
    for (const Index d : features) {
      const double ratio = ratio_at(n, d, plain, seconds);
      std::printf("  %5.2f%s ", ratio, ratio > 1 ? "*" : " ");
      std::fflush(stdout);
    }
    std::printf("\n");
  }
}

}  // namespace

void print_ratios(double seconds) {
  std::printf(
      "time(attn) / time(plain Eigen), forward, float, one core; * plain Eigen is faster\n");
  std::printf("\nthe textbook, which overflows beyond logits of 88\n\n");
  print_table(plain_eigen::textbook<MatrixX<float>>, seconds);
  std::printf("\nwith the maximum of each row taken out, as attn does\n\n");
  print_table(plain_eigen::row_max<MatrixX<float>>, seconds);
}

}  // namespace bench
