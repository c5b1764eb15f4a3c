// SPDX-License-Identifier: Apache-2.0
// The second translation unit of the linking test.
#include "other.hpp"

#include <attn/attn.hpp>

Eigen::MatrixXf attend_elsewhere(const Eigen::MatrixXf& Q, const Eigen::MatrixXf& K,
                                 const Eigen::MatrixXf& V) {
  return attn::attention(Q, K, V, attn::Causal{});
}
