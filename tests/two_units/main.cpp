// SPDX-License-Identifier: Apache-2.0
// The linking test: both translation units include the library, and both compute the same bits.
#include <cstdio>
#include <cstdlib>

#include <Eigen/Core>
#include <attn/attn.hpp>

#include "other.hpp"

int main() {
  std::srand(1);  // Eigen's Random draws from it
  const Eigen::MatrixXf Q = Eigen::MatrixXf::Random(7, 8);
  const Eigen::MatrixXf K = Eigen::MatrixXf::Random(7, 8);
  const Eigen::MatrixXf V = Eigen::MatrixXf::Random(7, 3);

  const Eigen::MatrixXf here = attn::attention(Q, K, V, attn::Causal{});
  const Eigen::MatrixXf there = attend_elsewhere(Q, K, V);
  if (!(here.array() == there.array()).all()) {
    std::fprintf(stderr, "the two translation units disagree\n");
    return 1;
  }
  // The first query of a causal attention sees the first key alone.
  if (!here.row(0).isApprox(V.row(0))) {
    std::fprintf(stderr, "the first row is not the first value\n");
    return 1;
  }
}
