// SPDX-License-Identifier: Apache-2.0
// A matrix could be a bias or a mask.
// expect: a matrix is not a part of attention
// expect: DenseBias{B}
#include <Eigen/Core>

#include <attn/attn.hpp>

Eigen::MatrixXf attend(const Eigen::MatrixXf& X, const Eigen::MatrixXf& B) {
  return attn::attention(X, X, X, B);
}
