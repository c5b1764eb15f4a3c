// SPDX-License-Identifier: Apache-2.0
// Dropout of single numbers: training multiplies a matrix by a random mask, backward by the same.
//
//     mask_ij = 0 with probability p, else 1 / (1 - p), so that the mean stays
//
// Source: Srivastava et al. 2014, section 4.
#pragma once

#include "matrix.hpp"
#include "random.hpp"

namespace examples {

template <typename T = float>
MatrixOf<T> dropout_mask(Index rows, Index columns, float p, Random& random) {
  if (p == 0) return MatrixOf<T>::Ones(rows, columns);
  const T kept = 1 / (1 - static_cast<T>(p));
  return MatrixOf<T>::NullaryExpr(rows, columns,
                                  [&](Index, Index) { return random.uniform() < p ? T(0) : kept; });
}

}  // namespace examples
