// SPDX-License-Identifier: Apache-2.0
// A call has one Heads.
// expect: a call has one Heads, and here are two
#include <Eigen/Core>

#include <attn/attn.hpp>

Eigen::MatrixXf attend(const Eigen::MatrixXf& X) {
  return attn::attention(X, X, X, attn::Heads{2}, attn::Heads{4});
}
