// SPDX-License-Identifier: Apache-2.0
// A score modifier takes a position.
// expect: the function must take a score and an attn::Position
#include <Eigen/Core>

#include <attn/attn.hpp>

Eigen::MatrixXf attend(const Eigen::MatrixXf& X) {
  return attn::attention(X, X, X, attn::score_mod([](auto score) { return 2 * score; }));
}
