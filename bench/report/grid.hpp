// SPDX-License-Identifier: Apache-2.0
// The grid of sizes on which attn must not be slower than a few lines of plain Eigen.
#pragma once

#include <vector>

#include "row.hpp"

namespace bench::report {

struct Cell {
  Index n = 0, d = 0;
  double attn = 0, textbook = 0, row_max = 0;  ///< seconds
  double ratio = 0;                            ///< of attn to the faster of the two
  double error = 0;

  double plain() const { return textbook < row_max ? textbook : row_max; }
  double gflops(double seconds) const { return 4e-9 * double(n) * double(n) * double(d) / seconds; }
};

struct Grid {
  std::vector<Cell> cells;
  double peak = 0, product = 0;  ///< FLOP/s, the most of all cells
};

/// One row whose value is that of the worst cell; the cells themselves go to `grid`, which outlives
/// the plan.
Plan grid_plan(Grid& grid);

}  // namespace bench::report
