// SPDX-License-Identifier: Apache-2.0
// Forward of matrices whose sizes the compiler knows, against plain Eigen on the same types: up to
// 4 x 32 by the path for fixed sizes, beyond by those for any size. A run is a hundred calls, since
// one takes less than what stands around it.
//
//     fixed/f32/n:4/d:8
#include <memory>

#include <benchmark/benchmark.h>

#include <attn/attention.hpp>

#include "baseline/plain_eigen.hpp"
#include "fma_peak.hpp"
#include "problem.hpp"
#include "work.hpp"

namespace bench {
namespace {

constexpr int calls_a_run = 100;

template <int n, int d>
Work fixed_work() {
  using M = Eigen::Matrix<float, n, d>;
  struct State {
    Problem<float> problem{n, d};
    M Q = problem.Q, K = problem.K, V = problem.V, O;
  };
  auto state = std::make_shared<State>();
  const auto repeated = [state](auto call) {
    return [state, call] {
      for (int k = 0; k < calls_a_run; ++k) {
        state->O = call(state->Q, state->K, state->V);
        benchmark::ClobberMemory();
      }
    };
  };
  Work work;
  work.flops = 4.0 * n * n * d * calls_a_run;
  work.peak = fma_peak<float>();
  work.run = repeated([](const M& Q, const M& K, const M& V) { return attn::attention(Q, K, V); });
  work.plain = {
      repeated([](const M& Q, const M& K, const M& V) { return plain_eigen::textbook(Q, K, V); }),
      repeated([](const M& Q, const M& K, const M& V) { return plain_eigen::row_max(Q, K, V); })};
  work.error = [state, run = work.run] {
    run();
    return forward_error(MatrixX<float>(state->O), state->problem);
  };
  return work;
}

template <int n, int d>
void add_size() {
  add_benchmark("fixed" + size_name<float>(n, d), [] { return fixed_work<n, d>(); });
}

const bool added = [] {
  add_size<2, 4>();
  add_size<3, 4>();
  add_size<4, 4>();
  add_size<4, 8>();
  add_size<8, 8>();
  add_size<4, 32>();
  add_size<16, 16>();
  add_size<64, 32>();
  return true;
}();

}  // namespace
}  // namespace bench
