// SPDX-License-Identifier: Apache-2.0
// Only masks are combined with an ampersand.
// expect: `&` combines masks only
// expect: separated by commas
#include <Eigen/Core>

#include <attn/attn.hpp>

Eigen::MatrixXf attend(const Eigen::MatrixXf& X) {
  return attn::attention(X, X, X, attn::Causal{} & attn::Softcap{5});
}
