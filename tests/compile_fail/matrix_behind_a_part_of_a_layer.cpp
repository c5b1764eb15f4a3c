// SPDX-License-Identifier: Apache-2.0
// The memory of a layer stands in front of the parts.
// expect: attn: a matrix is not a part of attention
#include <attn/attn.hpp>

void call() {
  const attn::MultiHeadAttention<float> layer({.embed_dim = 4, .num_heads = 2});
  layer(Eigen::MatrixXf(3, 4), attn::Causal{}, Eigen::MatrixXf(3, 4));
}
