// SPDX-License-Identifier: Apache-2.0
// A function must say what it does to the scores.
// expect: this argument has no role in attention
// expect: score_mod(f)
#include <Eigen/Core>

#include <attn/attn.hpp>

Eigen::MatrixXf attend(const Eigen::MatrixXf& X) {
  return attn::attention(X, X, X, [](float score, attn::Position) { return score; });
}
