// SPDX-License-Identifier: Apache-2.0
// Only softmax results can be merged.
// expect: only results of Softmax without probability modifiers can be merged
#include <Eigen/Core>

#include <attn/attn.hpp>

auto merged(const Eigen::MatrixXf& X) {
  const auto part = attn::attention_forward(X, X, X, attn::Sigmoid{});
  return attn::merge(part, part);
}
