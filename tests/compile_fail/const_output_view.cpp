// SPDX-License-Identifier: Apache-2.0
// A view of const numbers cannot be written to.
// expect: the output O is a view of const numbers
#include <Eigen/Core>

#include <attn/attn.hpp>

void attend(const Eigen::MatrixXf& O, const Eigen::MatrixXf& X) {
  attn::attention_into(attn::view(O), attn::view(X), attn::view(X), attn::view(X));
}
