// SPDX-License-Identifier: Apache-2.0
// A call has one CumulativeLengths.
// expect: a call has one CumulativeLengths, and here are two
#include <Eigen/Core>

#include <attn/attn.hpp>

Eigen::MatrixXf attend(const Eigen::MatrixXf& X, const attn::CumulativeLengths& packed) {
  return attn::attention(X, X, X, packed, packed);
}
