// SPDX-License-Identifier: Apache-2.0
// Output and weights in one call, against plain Eigen, which has the weights anyway: from one query
// that asks many keys to square problems.
//
//     weights/f32/n_q:1/n_k:512/d:64
#include <algorithm>
#include <memory>
#include <string>
#include <utility>

#include <benchmark/benchmark.h>

#include <attn/attention.hpp>

#include "baseline/plain_eigen.hpp"
#include "fma_peak.hpp"
#include "problem.hpp"
#include "work.hpp"

namespace bench {
namespace {

struct Weighted {
  MatrixX<float> output;
  MatrixX<float> weights;
};

Work weights_work(Index n_q, Index n_k, Index d) {
  auto problem = std::make_shared<Problem<float>>(n_k, d);
  problem->Q.conservativeResize(n_q, d);
  auto result = std::make_shared<Weighted>();
  Work work;
  work.flops = 4.0 * double(n_q) * double(n_k) * double(d);
  work.peak = fma_peak<float>();
  work.run = [=] {
    auto both = attn::attention_with_weights(problem->Q, problem->K, problem->V);
    *result = {std::move(both.output), std::move(both.weights)};
  };
  work.plain = {[=] {
    const MatrixX<float> P = plain_eigen::weights(problem->Q, problem->K);
    MatrixX<float> O(n_q, d);
    O.noalias() = P * problem->V;
    benchmark::DoNotOptimize(O.data());
  }};
  work.error = [=, run = work.run] {
    run();
    const MatrixX<float> from_weights = result->weights * problem->V;
    return std::max(forward_error(result->output, *problem), forward_error(from_weights, *problem));
  };
  return work;
}

const bool added = [] {
  for (const Index d : {8, 64})
    for (const auto& [n_q, n_k] :
         {std::pair<Index, Index>{1, 8}, {1, 64}, {1, 512}, {4, 4}, {16, 16}, {64, 64}, {512, 512}})
      add_benchmark("weights/f32/n_q:" + std::to_string(n_q) + "/n_k:" + std::to_string(n_k) +
                        "/d:" + std::to_string(d),
                    [=] { return weights_work(n_q, n_k, d); });
  return true;
}();

}  // namespace
}  // namespace bench
