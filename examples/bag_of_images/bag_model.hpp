// SPDX-License-Identifier: Apache-2.0
// The model: features of every image, pooling over the images of a bag, a linear classifier.
//
//     image -> relu(W1 x + b1) -> relu(W2 . + b2) = h -> pooling over the bag -> softmax(C z + b)
//
// All poolings stand between the same layers of the same sizes.
#pragma once

#include <string>
#include <vector>

#include "../support/cross_entropy.hpp"
#include "../support/linear.hpp"
#include "../support/matrix.hpp"
#include "../support/parameter.hpp"
#include "../support/random.hpp"
#include "../support/relu.hpp"
#include "bag_pooling.hpp"
#include "bags.hpp"
#include "gated_attention.hpp"
#include "settings.hpp"

namespace examples {

template <typename T>
class BasicBagModel {
 public:
  struct Prediction {
    VectorOf<T> positive;  // the probability of each bag
    VectorOf<T> weights;   // of each image in its bag; empty without attention
  };

  BasicBagModel(const BagModelShape& shape, Pooling pooling, Random random)
      : pooling_(pooling),
        first_(shape.pixels, shape.hidden, random),
        second_(shape.hidden, shape.features, random),
        attention_(shape.features, shape.attention_dim, pooling == Pooling::kGated, random),
        output_(shape.features, 2, random) {}

  Prediction predict(const BasicBagBatch<T>& batch) const {
    const MatrixOf<T> H = rectified(second_, rectified(first_, batch.images));
    if (!has_attention(pooling_)) return {positive(pooled(H, batch.offsets)), {}};
    const auto attended = attention_.forward(H, batch.offsets);
    return {positive(attended.output()), attended.weights()};
  }

  /// Sets the gradients to those of the mean cross-entropy of the bags, and returns that.
  T differentiate(const BasicBagBatch<T>& batch) {
    const MatrixOf<T> A = rectified(first_, batch.images);
    const MatrixOf<T> H = rectified(second_, A);
    T loss = 0;
    MatrixOf<T> dH = differentiate_pooled(H, batch, loss);
    relu_backward(H, dH);
    MatrixOf<T> dA = second_.backward(A, dH);
    relu_backward(A, dA);
    first_.backward(batch.images, dA);
    return loss;
  }

  /// Every trainable tensor with its gradient, always in the same order.
  std::vector<BasicParameter<T>> parameters() {
    std::vector<BasicParameter<T>> list;
    first_.append_parameters(list, "first");
    second_.append_parameters(list, "second");
    if (has_attention(pooling_)) attention_.append_parameters(list, "attention");
    output_.append_parameters(list, "output");
    return list;
  }

 private:
  static MatrixOf<T> rectified(const BasicLinear<T>& layer, const MatrixOf<T>& X) {
    MatrixOf<T> Y = layer.forward(X);
    relu(Y);
    return Y;
  }

  VectorOf<T> positive(const MatrixOf<T>& Z) const {
    return row_softmax(output_.forward(Z)).col(1);
  }

  MatrixOf<T> pooled(const MatrixOf<T>& H, const std::vector<Index>& offsets) const {
    return pooling_ == Pooling::kMax ? max_over_bags(H, offsets) : mean_over_bags(H, offsets);
  }

  /// dH; sets the gradients of pooling and classifier, and the loss.
  MatrixOf<T> differentiate_pooled(const MatrixOf<T>& H, const BasicBagBatch<T>& batch, T& loss) {
    if (has_attention(pooling_)) {
      const auto attended = attention_.forward(H, batch.offsets);
      const MatrixOf<T> dZ = differentiate_output(attended.output(), batch.labels, loss);
      return attention_.backward(H, attended, dZ);
    }
    const MatrixOf<T> dZ = differentiate_output(pooled(H, batch.offsets), batch.labels, loss);
    return pooling_ == Pooling::kMax ? max_backward(H, dZ, batch.offsets)
                                     : mean_backward(dZ, batch.offsets);
  }

  MatrixOf<T> differentiate_output(const MatrixOf<T>& Z, const std::vector<Index>& labels,
                                   T& loss) {
    const auto end = cross_entropy<T>(row_softmax(output_.forward(Z)), labels);
    loss = end.loss;
    return output_.backward(Z, end.gradient);
  }

  Pooling pooling_;
  BasicLinear<T> first_;
  BasicLinear<T> second_;
  BasicGatedAttention<T> attention_;
  BasicLinear<T> output_;
};
using BagModel = BasicBagModel<float>;

}  // namespace examples
