// SPDX-License-Identifier: Apache-2.0
// A probability modifier takes a position.
// expect: the function must take a weight and an attn::Position
#include <Eigen/Core>

#include <attn/attn.hpp>

Eigen::MatrixXf attend(const Eigen::MatrixXf& X) {
  return attn::attention(X, X, X, attn::prob_mod([](float p) { return 2 * p; }));
}
