// SPDX-License-Identifier: Apache-2.0
// Attention pooling has its score function.
// expect: a call has one score function, and here are two
#include <attn/attn.hpp>

void call() {
  const attn::AttentionPooling<float> pooling({.embed_dim = 2, .attention_dim = 2});
  pooling(Eigen::MatrixXf(3, 2), attn::DotProduct{});
}
