// SPDX-License-Identifier: Apache-2.0
// The model without regions that attention is compared with: all pixels into one hidden layer.
//
//     h = relu(W1 x + b1),   p = softmax(W2 h + b2)
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <span>
#include <vector>

#include "../support/convolution.hpp"
#include "../support/cross_entropy.hpp"
#include "../support/linear.hpp"
#include "../support/matrix.hpp"
#include "../support/parameter.hpp"
#include "../support/random.hpp"
#include "../support/relu.hpp"
#include "prediction.hpp"

namespace examples {

template <typename T>
class PixelMlp {
 public:
  using Maps = FeatureMaps<T>;

  PixelMlp(Index pixels, Index hidden, Index classes, std::uint64_t seed)
      : random_(seed), hidden_(pixels, hidden, random_), output_(hidden, classes, random_) {}

  /// Hidden features with which a model has about `parameters` numbers: each costs its pixels, its
  /// bias and a weight a class.
  static Index hidden_for(Index parameters, Index pixels, Index classes) {
    const double each = static_cast<double>(pixels + 1 + classes);
    return std::max<Index>(1, std::lround(static_cast<double>(parameters - classes) / each));
  }

  RegionPrediction<T> predict(const Maps& canvases) const {
    return {row_softmax<T>(output_.forward(hidden(rows(canvases)))), {}};
  }

  /// Sets the gradients to those of the mean loss, and returns that.
  T differentiate(const Maps& canvases, std::span<const Index> labels) {
    const MatrixOf<T> X = rows(canvases);
    const MatrixOf<T> H = hidden(X);
    const auto end = cross_entropy<T>(row_softmax<T>(output_.forward(H)), labels);
    MatrixOf<T> dH = output_.backward(H, end.gradient);
    relu_backward(H, dH);
    hidden_.backward(X, dH);
    return end.loss;
  }

  std::vector<BasicParameter<T>> parameters() {
    std::vector<BasicParameter<T>> list;
    hidden_.append_parameters(list, "hidden");
    output_.append_parameters(list, "output");
    return list;
  }

 private:
  /// A canvas a row.
  static MatrixOf<T> rows(const Maps& canvases) {
    return Eigen::Map<const MatrixOf<T>>(canvases.values.data(), canvases.images,
                                         canvases.pixels());
  }
  MatrixOf<T> hidden(const MatrixOf<T>& X) const {
    MatrixOf<T> H = hidden_.forward(X);
    relu(H);
    return H;
  }

  Random random_;
  BasicLinear<T> hidden_;
  BasicLinear<T> output_;
};

}  // namespace examples
