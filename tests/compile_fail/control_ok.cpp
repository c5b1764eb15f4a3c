// SPDX-License-Identifier: Apache-2.0
// The control: a right call compiles, so that a refusal beside it has the reason that it names.
// expect-ok
#include <Eigen/Core>

#include <attn/attn.hpp>

Eigen::MatrixXf attend(const Eigen::MatrixXf& Q, const Eigen::MatrixXf& K,
                       const Eigen::MatrixXf& V) {
  return attn::attention(Q, K, V, attn::Causal{}, attn::Softcap{50.f});
}
