// SPDX-License-Identifier: Apache-2.0
// A part stands where the values belong.
// expect: the third argument must be the values V
// expect: attention_weights
#include <Eigen/Core>

#include <attn/attn.hpp>

Eigen::MatrixXf attend(const Eigen::MatrixXf& Q, const Eigen::MatrixXf& K) {
  return attn::attention(Q, K, attn::Causal{});
}
