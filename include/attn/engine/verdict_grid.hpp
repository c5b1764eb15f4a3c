// SPDX-License-Identifier: Apache-2.0
// Verdicts of a grid of blocks, asked for rectangles of any size in the same time.
//
// The counts of empty and of full blocks are kept as summed-area tables, 8 bytes a block: a count
// within a rectangle is four look-ups. Source: Crow 1984.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include <attn/concepts.hpp>
#include <attn/config.hpp>
#include <attn/mask.hpp>

ATTN_BEGIN_NAMESPACE
namespace engine {

/// Rows and columns of a grid of blocks, bounds included.
struct BlockRectangle {
  Index first_row;
  Index last_row;
  Index first_col;
  Index last_col;
};

/// Verdicts of a grid of blocks for every batch and head.
class VerdictGrid {
 public:
  VerdictGrid(Index batches, Index heads, Index rows, Index cols)
      : planes_(batches * heads),
        heads_(heads),
        rows_(rows),
        cols_(cols),
        sums_(static_cast<std::size_t>(planes_ * (rows + 1) * (cols + 1))) {}

  /// f(batch, head, row, column) is asked once for the verdict of every block.
  template <class F>
  void fill(F&& f) {
    for (Index plane = 0; plane < planes_; ++plane)
      for (Index r = 0; r < rows_; ++r) {
        Count row;
        for (Index c = 0; c < cols_; ++c) {
          const Verdict verdict = f(plane / heads_, plane % heads_, r, c);
          row.empty += verdict == Verdict::empty;
          row.full += verdict == Verdict::full;
          const Count above = sums_[corner(plane, r, c + 1)];
          sums_[corner(plane, r + 1, c + 1)] = {above.empty + row.empty, above.full + row.full};
        }
      }
  }

  /// Of a rectangle of blocks.
  Verdict verdict(Index batch, Index head, const BlockRectangle& at) const {
    const Index plane = batch * heads_ + head, rows = at.last_row + 1, cols = at.last_col + 1;
    const Count a = sums_[corner(plane, at.first_row, at.first_col)];
    const Count b = sums_[corner(plane, at.first_row, cols)];
    const Count c = sums_[corner(plane, rows, at.first_col)];
    const Count d = sums_[corner(plane, rows, cols)];
    const Index all = (rows - at.first_row) * (cols - at.first_col);
    return verdict_of(d.empty - b.empty - c.empty + a.empty == all,
                      d.full - b.full - c.full + a.full == all);
  }

  Index blocks() const { return planes_ * rows_ * cols_; }
  Index empty_blocks() const { return total().first; }
  Index full_blocks() const { return total().second; }

 private:
  struct Count {
    std::int32_t empty = 0;
    std::int32_t full = 0;
  };

  /// Where the counts of the blocks above and left of a corner stand.
  std::size_t corner(Index plane, Index row, Index col) const {
    return static_cast<std::size_t>((plane * (rows_ + 1) + row) * (cols_ + 1) + col);
  }
  std::pair<Index, Index> total() const {
    std::pair<Index, Index> sum{0, 0};
    for (Index plane = 0; plane < planes_; ++plane) {
      sum.first += sums_[corner(plane, rows_, cols_)].empty;
      sum.second += sums_[corner(plane, rows_, cols_)].full;
    }
    return sum;
  }

  Index planes_, heads_, rows_, cols_;
  std::vector<Count> sums_;
};

}  // namespace engine
ATTN_END_NAMESPACE
