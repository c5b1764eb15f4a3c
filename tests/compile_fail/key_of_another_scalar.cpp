// SPDX-License-Identifier: Apache-2.0
// Q and K share one scalar type.
// expect: Q and K have different scalar types
// expect: K.cast<float>()
#include <Eigen/Core>

#include <attn/attn.hpp>

Eigen::MatrixXf attend(const Eigen::MatrixXf& Q, const Eigen::MatrixXd& K,
                       const Eigen::MatrixXf& V) {
  return attn::attention(Q, K, V);
}
