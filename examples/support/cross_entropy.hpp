// SPDX-License-Identifier: Apache-2.0
// Softmax over the classes and the mean cross-entropy of the right ones, with its derivative.
//
//     p = softmax(z),   loss = -1/B sum_b log p_b,y_b,   dz = (p - one_hot(y)) / B
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <span>

#include "matrix.hpp"

namespace examples {

/// Softmax of every row.
template <typename T>
MatrixOf<T> row_softmax(const MatrixOf<T>& logits) {
  MatrixOf<T> p = (logits.colwise() - logits.rowwise().maxCoeff()).array().exp();
  const VectorOf<T> sums = p.rowwise().sum();
  return p.array().colwise() / sums.array();
}

template <typename T>
struct BasicCrossEntropy {
  T loss = 0;
  MatrixOf<T> gradient;  // of the loss with respect to the logits
};
using CrossEntropy = BasicCrossEntropy<float>;

template <typename T>
BasicCrossEntropy<T> cross_entropy(const MatrixOf<T>& probabilities,
                                   std::span<const Index> labels) {
  BasicCrossEntropy<T> result{0, probabilities};
  const T share = 1 / static_cast<T>(std::max<std::size_t>(labels.size(), 1));
  for (std::size_t b = 0; b < labels.size(); ++b) {
    const auto row = static_cast<Index>(b);
    const T p = probabilities(row, labels[b]);
    result.loss -= share * std::log(std::max(p, std::numeric_limits<T>::min()));
    result.gradient(row, labels[b]) -= 1;
  }
  result.gradient *= share;
  return result;
}

}  // namespace examples
