// SPDX-License-Identifier: Apache-2.0
// Whether attention lies on the object, whose box is known.
//
//     pointing accuracy   share of canvases whose heaviest region has its centre inside the box
//     attention in it     mean over canvases of the sum of alpha_j over the regions inside the box
//     chance              mean share of the regions inside the box: either figure of even weights
#pragma once

#include "../support/cluttered_canvas.hpp"
#include "../support/matrix.hpp"
#include "region_grid.hpp"

namespace examples {

class Pointing {
 public:
  /// One canvas: a weight for each region of the grid. Of equal heaviest weights each counts for
  /// its part, as if one of them were drawn.
  template <typename Weights>
  void add(const Weights& weights, const RegionGrid& grid, const Box& box) {
    const auto heaviest = weights.maxCoeff();
    Index heavy = 0, heavy_inside = 0, inside = 0;
    double attention = 0;
    for (Index j = 0; j < grid.size(); ++j) {
      const bool is_inside = grid.has_centre_in(box, j);
      const bool is_heavy = weights(j) == heaviest;
      heavy += is_heavy;
      heavy_inside += is_heavy && is_inside;
      inside += is_inside;
      if (is_inside) attention += static_cast<double>(weights(j));
    }
    accuracy_ += ratio(heavy_inside, heavy);
    attention_ += attention;
    chance_ += ratio(inside, grid.size());
    ++canvases_;
  }

  double accuracy() const { return mean(accuracy_); }
  double attention_inside() const { return mean(attention_); }
  double chance() const { return mean(chance_); }

 private:
  static double ratio(Index part, Index whole) {
    return whole == 0 ? 0 : static_cast<double>(part) / static_cast<double>(whole);
  }
  double mean(double sum) const {
    return canvases_ == 0 ? 0 : sum / static_cast<double>(canvases_);
  }

  double accuracy_ = 0;
  double attention_ = 0;
  double chance_ = 0;
  Index canvases_ = 0;
};

}  // namespace examples
