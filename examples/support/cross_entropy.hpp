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
inline Matrix row_softmax(const Matrix& logits) {
  Matrix p = (logits.colwise() - logits.rowwise().maxCoeff()).array().exp();
  const Vector sums = p.rowwise().sum();
  return p.array().colwise() / sums.array();
}

struct CrossEntropy {
  float loss = 0;
  Matrix gradient;  // of the loss with respect to the logits
};

inline CrossEntropy cross_entropy(const Matrix& probabilities, std::span<const Index> labels) {
  CrossEntropy result{0, probabilities};
  const float share = 1 / static_cast<float>(std::max<std::size_t>(labels.size(), 1));
  for (std::size_t b = 0; b < labels.size(); ++b) {
    const auto row = static_cast<Index>(b);
    const float p = probabilities(row, labels[b]);
    result.loss -= share * std::log(std::max(p, std::numeric_limits<float>::min()));
    result.gradient(row, labels[b]) -= 1;
  }
  result.gradient *= share;
  return result;
}

}  // namespace examples
