// SPDX-License-Identifier: Apache-2.0
// A bool does not say what it switches on.
// expect: a bool is not a part of attention
// expect: Causal{}
#include <Eigen/Core>

#include <attn/attn.hpp>

Eigen::MatrixXf attend(const Eigen::MatrixXf& X) { return attn::attention(X, X, X, true); }
