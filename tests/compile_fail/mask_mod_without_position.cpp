// SPDX-License-Identifier: Apache-2.0
// A mask takes a position.
// expect: the function must take an attn::Position and return a bool
#include <Eigen/Core>

#include <attn/attn.hpp>

Eigen::MatrixXf attend(const Eigen::MatrixXf& X) {
  return attn::attention(X, X, X, attn::mask_mod([](int i, int j) { return i >= j; }));
}
