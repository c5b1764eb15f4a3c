// SPDX-License-Identifier: Apache-2.0
// Where the parameters of layers start: uniform numbers of a seed, the same on every run.
#pragma once

#include <cmath>
#include <random>

#include <attn/config.hpp>

ATTN_BEGIN_NAMESPACE
namespace engine {

/// The bound of Xavier's uniform distribution. Source: Glorot & Bengio 2010, eq. 16.
inline double xavier_bound(Index fan_in, Index fan_out) {
  return std::sqrt(6.0 / static_cast<double>(fan_in + fan_out));
}

/// Numbers of U(-bound, bound), drawn row by row.
template <class T>
MatrixX<T> uniform_matrix(Index rows, Index cols, double bound, std::mt19937_64& random) {
  std::uniform_real_distribution<double> uniform(-bound, bound);
  MatrixX<T> matrix(rows, cols);
  for (Index i = 0; i < rows; ++i)
    for (Index j = 0; j < cols; ++j) matrix(i, j) = static_cast<T>(uniform(random));
  return matrix;
}

}  // namespace engine
ATTN_END_NAMESPACE
