// SPDX-License-Identifier: Apache-2.0
// The two dense types that the examples compute with: one row a token, rows next to each other.
// Programs compute in float; tests of gradients ask for the same layers in double.
#pragma once

#include <Eigen/Core>

namespace examples {

using Index = Eigen::Index;
template <typename T>
using MatrixOf = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
template <typename T>
using VectorOf = Eigen::VectorX<T>;
using Matrix = MatrixOf<float>;
using Vector = VectorOf<float>;

}  // namespace examples
