// SPDX-License-Identifier: Apache-2.0
// Matrices that lie in memory in every way, among numbers that nobody may touch.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <attn/tensor_view.hpp>
#include <vector>

#include "batch.hpp"
#include "compare.hpp"

namespace support {

/// A copy of a matrix with neighbouring rows (0), neighbouring columns (1) or gaps (2); -7 in them.
template <class T>
struct Stored {
  std::vector<T> numbers;
  attn::TensorView<T> view;

  Stored(const attn::MatrixX<T>& m, int layout) {
    const attn::Index rows = m.rows(), cols = m.cols();
    const attn::Index row = layout == 0 ? 1 : layout == 1 ? cols + 1 : 2;
    const attn::Index col = layout == 0 ? rows + 1 : layout == 1 ? 1 : 2 * rows;
    numbers.assign(static_cast<std::size_t>(rows * row + cols * col), T(-7));
    view = {numbers.data(), {1, 1, rows, cols}, {0, 0, row, col}};
    for (attn::Index i = 0; i < rows; ++i)
      for (attn::Index j = 0; j < cols; ++j) view(0, 0, i, j) = m(i, j);
  }
  /// Numbers that were not there before, among gaps that nobody touched.
  testing::AssertionResult holds(const attn::MatrixX<T>& m) const {
    const attn::Index gaps = std::count(numbers.begin(), numbers.end(), T(-7));
    if (gaps != attn::Index(numbers.size()) - m.size())
      return testing::AssertionFailure() << gaps << " gaps";
    return same_bits(stacked(view), m);
  }
};

}  // namespace support
