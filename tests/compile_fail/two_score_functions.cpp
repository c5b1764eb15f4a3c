// SPDX-License-Identifier: Apache-2.0
// A call has one score function.
// expect: a call has one score function, and here are two
#include <Eigen/Core>

#include <attn/attn.hpp>

Eigen::MatrixXf attend(const Eigen::MatrixXf& X) {
  return attn::attention(X, X, X, attn::DotProduct{}, attn::CosineSimilarity{});
}
