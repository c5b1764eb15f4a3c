// SPDX-License-Identifier: Apache-2.0
// A program of a consumer: one attention whose result is known, with the consumer's own flags.
#include <cstdio>

#include <Eigen/Core>
#include <attn/attn.hpp>

int main() {
  // Two equal keys share the attention evenly: every row of O is the mean of the two values.
  const Eigen::MatrixXf Q = Eigen::MatrixXf::Ones(3, 4);
  const Eigen::MatrixXf K = Eigen::MatrixXf::Ones(2, 4);
  Eigen::MatrixXf V(2, 2);
  V << 1, 2, 3, 6;

  const Eigen::MatrixXf O = attn::attention(Q, K, V, attn::Threads{2});
  const Eigen::MatrixXf mean = V.colwise().mean().replicate(3, 1);
  std::printf("attention is %g %g\n", double(O(0, 0)), double(O(0, 1)));
  return O.isApprox(mean, 1e-5f) ? 0 : 1;
}
