// SPDX-License-Identifier: Apache-2.0
// The model: regions, self-attention between them if asked for, pooling, a linear classifier.
//
//     canvas -> F [+ P] [+ self-attention] -> o = sum_j alpha_j v_j -> softmax(C o + c)
//
// With PoolingKind::kNone the same regions are averaged: the model without attention that it is
// compared with.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "../support/cross_entropy.hpp"
#include "../support/linear.hpp"
#include "../support/matrix.hpp"
#include "../support/parameter.hpp"
#include "../support/random.hpp"
#include "position_encoding.hpp"
#include "prediction.hpp"
#include "query_pooling.hpp"
#include "region_features.hpp"
#include "region_shape.hpp"
#include "self_attention.hpp"

namespace examples {

template <typename T>
class RegionModel {
 public:
  using Maps = FeatureMaps<T>;

  RegionModel(const RegionModelShape& shape, std::uint64_t seed)
      : shape_(shape),
        random_(seed),
        features_(shape.regions, random_),
        pooling_({.kind = shape.attention,
                  .features = shape.regions.channels,
                  .attention_dim = shape.attention_dim,
                  .outputs = shape.pooled},
                 random_),
        classifier_(shape.pooled, shape.classes, random_) {
    if (shape.self_attention) between_.emplace(shape.regions.channels, shape.heads, random_);
  }

  const RegionModelShape& shape() const { return shape_; }

  RegionPrediction<T> predict(Maps canvases) const {
    const Index images = canvases.images;
    const MatrixOf<T> F = regions(features_.forward(std::move(canvases)).back());
    const auto attend = [&](const MatrixOf<T>& attended) {
      return RegionPrediction<T>{
          row_softmax<T>(classifier_.forward(pooling_.forward(attended, images).output)),
          pooling_.weights(attended, images)};
    };
    return between_ ? attend(between_->forward(F, images).output) : attend(F);
  }

  /// Sets the gradients to those of the mean loss, and returns that.
  T differentiate(Maps canvases, std::span<const Index> labels) {
    const Index images = canvases.images;
    const auto maps = features_.forward(std::move(canvases));
    const MatrixOf<T> F = regions(maps.back());
    if (!between_) {
      auto [loss, dF] = differentiate_pooled(F, images, labels);
      features_.backward(maps, std::move(dF));
      return loss;
    }
    const auto attended = between_->forward(F, images);
    const auto [loss, dY] = differentiate_pooled(attended.output, images, labels);
    features_.backward(maps, between_->backward(attended, dY));
    return loss;
  }

  /// Every trainable tensor with its gradient, always in the same order.
  std::vector<BasicParameter<T>> parameters() {
    std::vector<BasicParameter<T>> list;
    features_.append_parameters(list, "features");
    if (between_) between_->append_parameters(list, "self_attention");
    pooling_.append_parameters(list, "pooling");
    classifier_.append_parameters(list, "classifier");
    return list;
  }

 private:
  MatrixOf<T> regions(const Maps& maps) const {
    if (!shape_.has_positions()) return maps.values;
    const MatrixOf<T> P = position_encoding<T>(maps.rows, maps.columns, maps.values.cols());
    return maps.values + P.replicate(maps.images, 1);
  }

  /// The loss, and its gradient by what is pooled.
  std::pair<T, MatrixOf<T>> differentiate_pooled(const MatrixOf<T>& F, Index images,
                                                 std::span<const Index> labels) {
    const auto pooled = pooling_.forward(F, images);
    const auto end = cross_entropy<T>(row_softmax<T>(classifier_.forward(pooled.output)), labels);
    return {end.loss, pooling_.backward(pooled, classifier_.backward(pooled.output, end.gradient))};
  }

  RegionModelShape shape_;
  Random random_;
  RegionFeatures<T> features_;
  std::optional<RegionSelfAttention<T>> between_;
  QueryPooling<T> pooling_;
  BasicLinear<T> classifier_;
};

}  // namespace examples
