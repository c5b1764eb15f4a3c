// SPDX-License-Identifier: Apache-2.0
// There is one bias in the call, and the second is asked for.
// expect: (or fewer of that kind were)
#include <Eigen/Core>

#include <attn/attn.hpp>

Eigen::MatrixXf gradient(const Eigen::MatrixXf& X, const Eigen::MatrixXf& B) {
  const auto forward = attn::attention_forward(X, X, X, attn::DenseBias{B});
  const auto backward = attn::attention_backward(X, X, X, forward, X, attn::DenseBias{B});
  return backward.of<attn::DenseBias, 1>().B;
}
