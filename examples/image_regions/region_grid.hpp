// SPDX-License-Identifier: Apache-2.0
// Where on the canvas the regions lie: squares that share it out, line by line.
//
// A region sees more of the canvas than its square: the square is the middle of what it sees.
#pragma once

#include "../support/cluttered_canvas.hpp"
#include "../support/matrix.hpp"
#include "region_shape.hpp"

namespace examples {

class RegionGrid {
 public:
  explicit RegionGrid(const RegionShape& shape)
      : rows_(shape.rows / shape.stride),
        columns_(shape.columns / shape.stride),
        side_(shape.stride) {}

  Index rows() const { return rows_; }
  Index columns() const { return columns_; }
  Index size() const { return rows_ * columns_; }

  Box square(Index region) const {
    return {region / columns_ * side_, region % columns_ * side_, side_, side_};
  }
  bool has_centre_in(const Box& box, Index region) const {
    const Box s = square(region);
    const double half = static_cast<double>(side_) / 2;
    return box.contains(static_cast<double>(s.row) + half, static_cast<double>(s.column) + half);
  }

 private:
  Index rows_;
  Index columns_;
  Index side_;  // of a square, in pixels
};

}  // namespace examples
