// SPDX-License-Identifier: Apache-2.0
// A view to write to has Q's scalar type.
// expect: O and Q have different scalar types
#include <Eigen/Core>

#include <attn/attn.hpp>

void attend(Eigen::MatrixXd& O, const Eigen::MatrixXf& X) {
  attn::attention_into(attn::view(O), attn::view(X), attn::view(X), attn::view(X));
}
