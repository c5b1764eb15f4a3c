// SPDX-License-Identifier: Apache-2.0
// Q and V share one scalar type.
// expect: Q and V have different scalar types
// expect: V.cast<float>()
#include <Eigen/Core>

#include <attn/attn.hpp>

Eigen::MatrixXf attend(const Eigen::MatrixXf& Q, const Eigen::MatrixXf& K,
                       const Eigen::MatrixXd& V) {
  return attn::attention(Q, K, V);
}
