// SPDX-License-Identifier: Apache-2.0
// A sink is added once, at the end.
// expect: finish(forward, SoftmaxWithSink{...})
#include <Eigen/Core>

#include <attn/attn.hpp>

auto merged(const Eigen::MatrixXf& X) {
  const auto part = attn::attention_forward(X, X, X, attn::SoftmaxWithSink{0});
  return attn::merge(part, part);
}
