// SPDX-License-Identifier: Apache-2.0
// Gradients are those of parts of the call.
// expect: of<Part>() names a part that was not in the call
#include <Eigen/Core>

#include <attn/attn.hpp>

float gradient(const Eigen::MatrixXf& X) {
  const auto forward = attn::attention_forward(X, X, X, attn::Softcap{5});
  const auto backward = attn::attention_backward(X, X, X, forward, X, attn::Softcap{5});
  return backward.of<attn::Alibi>().slopes(0);
}
