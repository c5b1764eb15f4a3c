// SPDX-License-Identifier: Apache-2.0
// Where a region lies, as numbers that are added to its features.
//
//     P[(y, x), 4 i ..] = sin(w_i y), cos(w_i y), sin(w_i x), cos(w_i x),   w_i = 100^(-4 i / d)
//
// Source: Vaswani et al. 2017, section 3.5, for rows and columns apart; with 100 in place of 10000,
// since a grid of regions has tens of rows and a text has thousands of words.
#pragma once

#include <cmath>
#include <cstddef>

#include "../support/matrix.hpp"

namespace examples {

/// A row for each place of the grid, line by line.
template <typename T>
MatrixOf<T> position_encoding(Index rows, Index columns, Index features) {
  constexpr double kLongest = 100;
  MatrixOf<T> P(rows * columns, features);
  for (Index place = 0; place < P.rows(); ++place)
    for (Index f = 0; f < features; ++f) {
      const double frequency =
          std::pow(kLongest, -4.0 * static_cast<double>(f / 4) / static_cast<double>(features));
      const Index at = f % 4 < 2 ? place / columns : place % columns;
      const double angle = frequency * static_cast<double>(at);
      P(place, f) = static_cast<T>(f % 2 == 0 ? std::sin(angle) : std::cos(angle));
    }
  return P;
}

}  // namespace examples
