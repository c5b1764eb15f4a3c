// SPDX-License-Identifier: Apache-2.0
// A call has one normaliser.
// expect: a call has one normaliser, and here are two
#include <Eigen/Core>

#include <attn/attn.hpp>

Eigen::MatrixXf attend(const Eigen::MatrixXf& X) {
  return attn::attention(X, X, X, attn::Sparsemax{}, attn::Sigmoid{});
}
