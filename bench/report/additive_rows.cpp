// SPDX-License-Identifier: Apache-2.0
// Additive attention: its evaluations of tanh a second, against a loop of Eigen's tanh over an
// array in the first-level cache. The whole call counts: projections, softmax, product with V.
#include <cmath>
#include <memory>

#include "forward_call.hpp"
#include "rows.hpp"

namespace bench::report {
namespace {

constexpr Index tokens = 512, features = 64, hidden = 64;

attn::Additive<float> additive_part() {
  const float shrink = 1 / std::sqrt(static_cast<float>(features));
  const MatrixX<float> Wq = shrink * random_matrix<float>(features, hidden, 11);
  const MatrixX<float> Wk = shrink * random_matrix<float>(features, hidden, 12);
  const VectorX<float> v = random_matrix<float>(hidden, 1, 13);
  return {Wq, Wk, v};
}

constexpr Index loop_size = 2048;  // two arrays of 8 KiB

Call tanh_loop() {
  auto x = std::make_shared<const MatrixX<float>>(random_matrix<float>(loop_size, 1, 14));
  auto y = std::make_shared<MatrixX<float>>(loop_size, 1);
  return [x, y] { y->array() = x->array().tanh(); };
}

void measure(Row& row, const Settings& settings) {
  const Index n = settings.n(tokens);
  const Checked call = forward_call<float>(n, features, one_thread, additive_part());
  if (!correct(call, row, settings)) return;
  const Race result = race({call.run, tanh_loop()}, probes<float>(settings), settings);
  const double evaluations = double(n) * double(n) * hidden;
  keep(result, row, [&](const Turns& t) {
    return evaluations / t.seconds[0] / (double(loop_size) / t.seconds[1]);
  });
  row.numbers["tanh_per_second"] = evaluations / result.seconds(0);
  row.numbers["eigen_tanh_per_second"] = double(loop_size) / result.seconds(1);
}

}  // namespace

std::vector<Plan> additive_rows() {
  return {{Row{"additive", size_words(tokens, features) + ", a = 64", "of the rate of Eigen's tanh",
               Unit::ratio, at_least(0.85, 1.0)},
           measure}};
}

}  // namespace bench::report
