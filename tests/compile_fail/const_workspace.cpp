// SPDX-License-Identifier: Apache-2.0
// A workspace grows.
// expect: a const Workspace cannot grow
#include <Eigen/Core>

#include <attn/attn.hpp>

Eigen::MatrixXf attend(const Eigen::MatrixXf& X, const attn::Workspace& workspace) {
  return attn::attention(X, X, X, workspace);
}
