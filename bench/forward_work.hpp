// SPDX-License-Identifier: Apache-2.0
// A forward call as a benchmark: with these parts, on this size, checked and compared.
//
// Flops are those of the visible part: 2 (d + d_v) a visible pair of query and key.
#pragma once

#include <algorithm>
#include <memory>

#include <benchmark/benchmark.h>

#include <attn/attention.hpp>
#include <attn/executor.hpp>

#include "baseline/plain_eigen.hpp"
#include "fma_peak.hpp"
#include "problem.hpp"
#include "work.hpp"

namespace bench {

/// Pairs of query and key that a mask leaves, for the count of flops.
inline double all_pairs(Index n) { return static_cast<double>(n) * static_cast<double>(n); }
inline double causal_pairs(Index n) {
  return static_cast<double>(n) * static_cast<double>(n + 1) / 2;
}
inline double window_pairs(Index n, Index left) {
  const Index full = std::min(n, left + 1);
  return causal_pairs(full) + static_cast<double>(n - full) * static_cast<double>(left + 1);
}

/// A call of attention with these parts; the result is checked, and kept so that it is computed.
template <class T, class... Parts>
Work forward_work(Index n, Index d, double pairs, int threads, Parts... parts) {
  auto problem = std::make_shared<Problem<T>>(n, d);
  auto output = std::make_shared<MatrixX<T>>();
  Work work;
  work.flops = 4 * static_cast<double>(d) * pairs;
  work.peak = threads * fma_peak<T>();
  work.run = [=] {
    *output = attn::attention(problem->Q, problem->K, problem->V, parts..., attn::Threads{threads});
  };
  work.error = [=, run = work.run] {
    run();
    return forward_error(*output, *problem, parts...);
  };
  return work;
}

/// The same with the baseline: what plain Eigen takes for it on one core.
template <class T, class... Parts>
Work compared_work(Index n, Index d, double pairs, int threads, plain_eigen::Mask mask,
                   Parts... parts) {
  Work work = forward_work<T>(n, d, pairs, threads, parts...);
  auto problem = std::make_shared<Problem<T>>(n, d);
  const auto plain = [=](auto version) {
    return [=] {
      MatrixX<T> O = version(problem->Q, problem->K, problem->V, mask);
      benchmark::DoNotOptimize(O.data());
    };
  };
  work.plain = {plain(plain_eigen::textbook<MatrixX<T>>), plain(plain_eigen::row_max<MatrixX<T>>)};
  return work;
}

}  // namespace bench
