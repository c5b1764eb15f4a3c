// SPDX-License-Identifier: Apache-2.0
// Backward: gradients of Q, K and V, against plain Eigen that keeps P from its forward pass.
//
// Flops are those of the visible part: ten d a visible pair, of which two recompute the scores.
#include <memory>
#include <optional>
#include <string>

#include <benchmark/benchmark.h>

#include <attn/attn.hpp>

#include "baseline/plain_eigen.hpp"
#include "fma_peak.hpp"
#include "problem.hpp"
#include "work.hpp"

namespace bench {
namespace {

template <class T, class... Parts>
Work backward_work(const Problem<T>& p, double pairs, plain_eigen::Mask mask, Parts... parts) {
  const auto problem = std::make_shared<const Problem<T>>(p);
  auto forward = std::make_shared<decltype(attn::attention_forward(p.Q, p.K, p.V, parts...))>(
      attn::attention_forward(p.Q, p.K, p.V, parts...));
  using Result = decltype(attn::attention_backward(p.Q, p.K, p.V, *forward, p.dO, parts...));
  auto result = std::make_shared<std::optional<Result>>();
  auto weights = std::make_shared<MatrixX<T>>(plain_eigen::weights(p.Q, p.K, mask));
  Work work;
  work.flops = 10 * static_cast<double>(p.d) * pairs;
  work.peak = fma_peak<T>();
  work.run = [=] {
    result->emplace(attn::attention_backward(problem->Q, problem->K, problem->V, *forward,
                                             problem->dO, parts...));
  };
  work.plain.push_back([=] {
    const auto gradients =
        plain_eigen::backward(problem->Q, problem->K, problem->V, *weights, problem->dO);
    benchmark::DoNotOptimize(gradients.query.data());
  });
  work.error = [=, run = work.run] {
    run();
    return backward_error(**result, *problem, parts...);
  };
  return work;
}

/// The first queries alone.
Problem<float> few_queries(Index queries, Index n, Index d) {
  Problem<float> p(n, d);
  p.Q = p.Q.topRows(queries).eval();
  p.dO = p.dO.topRows(queries).eval();
  return p;
}

const bool added = [] {
  for (const Index d : {64, 128})
    for (const Index n : {8, 32, 128, 512, 2048}) {
      const std::string size = size_name<float>(n, d) + "/threads:1";
      const double pairs = static_cast<double>(n) * static_cast<double>(n);
      add_benchmark("backward/full" + size, [=] {
        return backward_work(Problem<float>(n, d), pairs, plain_eigen::Mask::none);
      });
      add_benchmark("backward/causal" + size, [=] {
        return backward_work(Problem<float>(n, d), (pairs + static_cast<double>(n)) / 2,
                             plain_eigen::Mask::causal, attn::Causal{});
      });
    }
  for (const Index queries : {1, 4})
    for (const Index n : {8, 64, 512, 4096})
      add_benchmark(
          "backward/queries:" + std::to_string(queries) + size_name<float>(n, 64) + "/threads:1",
          [=] {
            return backward_work(few_queries(queries, n, 64), static_cast<double>(queries * n),
                                 plain_eigen::Mask::none);
          });
  return true;
}();

}  // namespace
}  // namespace bench
