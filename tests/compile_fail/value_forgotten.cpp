// SPDX-License-Identifier: Apache-2.0
// Two matrices are queries and keys, and V is missing.
// expect: V is missing
// expect: attention(Q, K, V, parts...)
#include <Eigen/Core>

#include <attn/attn.hpp>

void attend(const Eigen::MatrixXf& Q, const Eigen::MatrixXf& K) { attn::attention(Q, K); }
