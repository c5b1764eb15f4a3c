// SPDX-License-Identifier: Apache-2.0
// Attention is computed in floating types.
// expect: Q must hold float, double, Eigen::half or Eigen::bfloat16
#include <Eigen/Core>

#include <attn/attn.hpp>

Eigen::MatrixXi attend(const Eigen::MatrixXi& X) { return attn::attention(X, X, X); }
