// SPDX-License-Identifier: Apache-2.0
// A modifier of plain numbers has no derivative.
// expect: works forward only
// expect: auto score
#include <Eigen/Core>

#include <attn/attn.hpp>

auto gradient(const Eigen::MatrixXf& X) {
  const auto mod = attn::score_mod([](float score, attn::Position) { return 2 * score; });
  const auto forward = attn::attention_forward(X, X, X, mod);
  return attn::attention_backward(X, X, X, forward, X, mod);
}
