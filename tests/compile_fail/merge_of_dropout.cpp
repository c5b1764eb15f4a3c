// SPDX-License-Identifier: Apache-2.0
// Results with probability modifiers cannot be merged.
// expect: without probability modifiers
#include <Eigen/Core>

#include <attn/attn.hpp>

auto merged(const Eigen::MatrixXf& X) {
  const auto part = attn::attention_forward(X, X, X, attn::Dropout{.p = 0.5, .seed = 1});
  return attn::merge(part, part);
}
