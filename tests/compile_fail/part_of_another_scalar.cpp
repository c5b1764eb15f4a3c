// SPDX-License-Identifier: Apache-2.0
// The matrices of a part have Q's scalar type.
// expect: the matrices of a part have another scalar type than Q
// expect: B.cast<float>()
#include <Eigen/Core>

#include <attn/attn.hpp>

Eigen::MatrixXf attend(const Eigen::MatrixXf& X, const Eigen::MatrixXd& B) {
  return attn::attention(X, X, X, attn::DenseBias{B});
}
