// SPDX-License-Identifier: Apache-2.0
// The matrices of one part share one scalar type.
// expect: the matrices of one part must share one scalar type
#include <Eigen/Core>

#include <attn/attn.hpp>

Eigen::MatrixXf attend(const Eigen::MatrixXf& X, const Eigen::MatrixXf& W,
                       const Eigen::VectorXd& v) {
  return attn::attention(X, X, X, attn::Additive{W, W, v});
}
