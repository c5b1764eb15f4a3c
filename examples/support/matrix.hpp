// SPDX-License-Identifier: Apache-2.0
// The two dense types that the examples compute with: one row a token, rows next to each other.
#pragma once

#include <Eigen/Core>

namespace examples {

using Index = Eigen::Index;
using Matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using Vector = Eigen::VectorXf;

}  // namespace examples
