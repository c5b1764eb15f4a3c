// SPDX-License-Identifier: Apache-2.0
// The output has Q's scalar type.
// expect: O and Q have different scalar types
#include <Eigen/Core>

#include <attn/attn.hpp>

void attend(Eigen::MatrixXd& O, const Eigen::MatrixXf& X) { attn::attention_into(O, X, X, X); }
