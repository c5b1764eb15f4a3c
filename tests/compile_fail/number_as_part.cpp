// SPDX-License-Identifier: Apache-2.0
// A number does not say what it is.
// expect: a number is not a part of attention
// expect: Heads{n}
#include <Eigen/Core>

#include <attn/attn.hpp>

Eigen::MatrixXf attend(const Eigen::MatrixXf& X) { return attn::attention(X, X, X, 8); }
