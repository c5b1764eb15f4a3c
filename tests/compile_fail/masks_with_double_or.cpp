// SPDX-License-Identifier: Apache-2.0
// Masks are combined with one bar.
// expect: masks are combined with `|`, not with `||`
#include <Eigen/Core>

#include <attn/attn.hpp>

Eigen::MatrixXf attend(const Eigen::MatrixXf& X) {
  return attn::attention(X, X, X, attn::Causal{} || attn::PrefixLm{4});
}
