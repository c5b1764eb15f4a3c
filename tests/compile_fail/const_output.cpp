// SPDX-License-Identifier: Apache-2.0
// The output is written to.
// expect: the output O is const
#include <Eigen/Core>

#include <attn/attn.hpp>

void attend(const Eigen::MatrixXf& O, const Eigen::MatrixXf& X) {
  attn::attention_into(O, X, X, X);
}
