// SPDX-License-Identifier: Apache-2.0
// A layer of float does not take tokens of double.
// expect: attn: a layer and its input have different scalar types. Cast one of them
#include <attn/attn.hpp>

void call() {
  const attn::MultiHeadAttention<float> layer({.embed_dim = 4, .num_heads = 2});
  layer(Eigen::MatrixXf(3, 4), Eigen::MatrixXd(3, 4));
}
