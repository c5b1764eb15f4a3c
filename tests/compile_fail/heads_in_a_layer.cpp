// SPDX-License-Identifier: Apache-2.0
// A layer has its heads.
// expect: attn::MultiHeadAttention: Heads and Workspace have no place here
#include <attn/attn.hpp>

void call() {
  const attn::MultiHeadAttention<float> layer({.embed_dim = 4, .num_heads = 2});
  layer(Eigen::MatrixXf(3, 4), attn::Heads{2});
}
