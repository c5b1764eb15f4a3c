// SPDX-License-Identifier: Apache-2.0
// What attention is compared with: the mean and the largest of each feature over the images of a
// bag.
//
//     mean  z_c = 1/n sum_k h_kc          max  z_c = max_k h_kc
#pragma once

#include <cstddef>
#include <vector>

#include "../support/matrix.hpp"

namespace examples {

/// `f(b, first, count)` for every bag b: its rows are first to first + count - 1, at least one.
template <typename F>
void for_each_bag(const std::vector<Index>& offsets, const F& f) {
  for (std::size_t b = 0; b + 1 < offsets.size(); ++b)
    f(static_cast<Index>(b), offsets[b], offsets[b + 1] - offsets[b]);
}

template <typename T>
MatrixOf<T> mean_over_bags(const MatrixOf<T>& H, const std::vector<Index>& offsets) {
  MatrixOf<T> pooled(static_cast<Index>(offsets.size()) - 1, H.cols());
  for_each_bag(offsets, [&](Index b, Index first, Index count) {
    pooled.row(b) = H.middleRows(first, count).colwise().mean();
  });
  return pooled;
}

/// dH of mean_over_bags.
template <typename T>
MatrixOf<T> mean_backward(const MatrixOf<T>& d_pooled, const std::vector<Index>& offsets) {
  MatrixOf<T> dH(offsets.back(), d_pooled.cols());
  for_each_bag(offsets, [&](Index b, Index first, Index count) {
    dH.middleRows(first, count).rowwise() = d_pooled.row(b) / static_cast<T>(count);
  });
  return dH;
}

template <typename T>
MatrixOf<T> max_over_bags(const MatrixOf<T>& H, const std::vector<Index>& offsets) {
  MatrixOf<T> pooled(static_cast<Index>(offsets.size()) - 1, H.cols());
  for_each_bag(offsets, [&](Index b, Index first, Index count) {
    pooled.row(b) = H.middleRows(first, count).colwise().maxCoeff();
  });
  return pooled;
}

/// dH of max_over_bags: everything goes to the image that had the largest feature, the first of
/// equal ones.
template <typename T>
MatrixOf<T> max_backward(const MatrixOf<T>& H, const MatrixOf<T>& d_pooled,
                         const std::vector<Index>& offsets) {
  MatrixOf<T> dH = MatrixOf<T>::Zero(H.rows(), H.cols());
  for_each_bag(offsets, [&](Index b, Index first, Index count) {
    for (Index c = 0; c < H.cols(); ++c) {
      Index largest = 0;
      H.col(c).segment(first, count).maxCoeff(&largest);
      dH(first + largest, c) = d_pooled(b, c);
    }
  });
  return dH;
}

}  // namespace examples
