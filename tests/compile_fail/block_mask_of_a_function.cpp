// SPDX-License-Identifier: Apache-2.0
// A BlockMask is built from a mask.
// expect: attn::BlockMask: the first argument must be a mask
#include <Eigen/Core>

#include <attn/attn.hpp>

Eigen::MatrixXf attend(const Eigen::MatrixXf& X) {
  const attn::BlockMask blocks([](attn::Position at) { return at.key <= at.query; }, 4, 4);
  return attn::attention(X, X, X, blocks);
}
