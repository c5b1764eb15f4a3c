// SPDX-License-Identifier: Apache-2.0
// A call has one executor.
// expect: a call has one executor
#include <Eigen/Core>

#include <attn/attn.hpp>

Eigen::MatrixXf attend(const Eigen::MatrixXf& X) {
  return attn::attention(X, X, X, attn::Threads{2}, attn::Threads{4});
}
