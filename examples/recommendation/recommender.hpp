// SPDX-License-Identifier: Apache-2.0
// The model: from the items that a user took to scores of the one that comes next.
//
//     items -> drop(sqrt(d) E[item] + P[place]) -> block -> ... -> block -> norm -> H
//     scores of the item after each: H E^T + b
//
// A block is history_block.hpp; the scores and their loss are item_scores.hpp. The model starts
// from the popularity of the items, and learns what the history adds to it.
// Source: Kang and McAuley 2018 (SASRec).
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "../support/dropout.hpp"
#include "../support/layer_norm.hpp"
#include "../support/matrix.hpp"
#include "../support/parameter.hpp"
#include "../support/random.hpp"
#include "history_batch.hpp"
#include "history_block.hpp"
#include "item_scores.hpp"

namespace examples {

template <typename T>
class Recommender {
 public:
  /// `popularity`: what the scores start from, a number an item.
  Recommender(const RecommenderShape& shape, VectorOf<T> popularity, std::uint64_t seed)
      : Recommender(shape, std::move(popularity), Random(seed)) {}

  const RecommenderShape& shape() const { return shape_; }

  /// Scores of what comes after each history, a row a history.
  MatrixOf<T> scores(const HistoryBatch& batch) const {
    const MatrixOf<T> H = norm_.forward(run(batch, 0, 0).back().output);
    MatrixOf<T> last(batch.count(), H.cols());
    for (Index b = 0; b < batch.count(); ++b)
      last.row(b) = H.row(batch.offsets[static_cast<std::size_t>(b) + 1] - 1);
    return ItemScores<T>(vectors_, popularity_).scores(last);
  }

  /// How much the state that the scores are made of attends to each item of a history, in the last
  /// block, the mean over its heads.
  VectorOf<T> attention(std::span<const Index> history) const {
    HistoryBatch batch;
    batch.add(history, shape_.context);
    const auto trace = run(batch, 0, 0);
    return blocks_.back().last_weights(trace.back().input).colwise().mean().transpose();
  }

  /// The sum of the losses of all predictions, `weight` each; overwrites the gradients of all
  /// parameters with those of it.
  T differentiate(const HistoryBatch& batch, T weight, float dropout, std::uint64_t seed) {
    const auto trace = run(batch, dropout, seed);
    const MatrixOf<T>& X = trace.back().output;
    vectors_gradient_.setZero();
    popularity_gradient_.setZero();
    MatrixOf<T> dH;
    const T loss =
        ItemScores<T>(vectors_, popularity_)
            .loss(norm_.forward(X), batch, weight, dH, {vectors_gradient_, popularity_gradient_});
    MatrixOf<T> dX = norm_.backward(X, dH);
    for (std::size_t b = blocks_.size(); b-- > 0;) dX = blocks_[b].backward(trace[b], dX);
    embed_backward(batch, dX.cwiseProduct(embedding_mask(dX.rows(), dropout, seed)));
    return loss;
  }

  std::vector<BasicParameter<T>> parameters() {
    std::vector<BasicParameter<T>> list{parameter("vectors", vectors_, vectors_gradient_),
                                        parameter("popularity", popularity_, popularity_gradient_),
                                        parameter("places", places_, places_gradient_)};
    for (std::size_t b = 0; b < blocks_.size(); ++b)
      blocks_[b].append_parameters(list, "block" + std::to_string(b));
    norm_.append_parameters(list, "norm");
    return list;
  }

 private:
  using Trace = std::vector<typename HistoryBlock<T>::Forward>;

  Recommender(const RecommenderShape& shape, VectorOf<T> popularity, Random random)
      : shape_(shape),
        vectors_(drawn(shape.items, shape.embed_dim, random)),
        vectors_gradient_(MatrixOf<T>::Zero(shape.items, shape.embed_dim)),
        popularity_(std::move(popularity)),
        popularity_gradient_(VectorOf<T>::Zero(shape.items)),
        places_(drawn(shape.context, shape.embed_dim, random)),
        places_gradient_(MatrixOf<T>::Zero(shape.context, shape.embed_dim)),
        blocks_(blocks_of(shape, random)),
        norm_(shape.embed_dim) {}

  /// Small, so that the scores start near the popularities.
  static MatrixOf<T> drawn(Index rows, Index columns, Random& random) {
    constexpr float kDeviation = 0.02f;
    return random.normal_matrix(rows, columns, kDeviation).template cast<T>();
  }

  static std::vector<HistoryBlock<T>> blocks_of(const RecommenderShape& shape, Random& random) {
    std::vector<HistoryBlock<T>> blocks;
    for (Index b = 0; b < shape.layers; ++b) blocks.emplace_back(shape, random);
    return blocks;
  }

  /// Drawn again in backward from the same seed.
  MatrixOf<T> embedding_mask(Index rows, float dropout, std::uint64_t seed) const {
    Random random(seed);
    return dropout_mask<T>(rows, shape_.embed_dim, dropout, random);
  }

  Trace run(const HistoryBatch& batch, float dropout, std::uint64_t seed) const {
    Random random(seed + 1);
    const attn::CumulativeLengths sequences = batch.sequences();
    MatrixOf<T> X = embed(batch);
    X.array() *= embedding_mask(X.rows(), dropout, seed).array();
    Trace trace;
    for (const auto& block : blocks_)
      trace.push_back(
          block.forward(trace.empty() ? X : trace.back().output, sequences, dropout, random));
    return trace;
  }

  /// f(token, item, place in its history) for each token.
  template <typename F>
  static void for_each_token(const HistoryBatch& batch, const F& f) {
    for (std::size_t b = 0; b + 1 < batch.offsets.size(); ++b)
      for (Index t = batch.offsets[b]; t < batch.offsets[b + 1]; ++t)
        f(t, batch.items[static_cast<std::size_t>(t)], t - batch.offsets[b]);
  }

  /// What is small as a score is large enough as an input.
  T input_scale() const { return std::sqrt(static_cast<T>(shape_.embed_dim)); }

  MatrixOf<T> embed(const HistoryBatch& batch) const {
    MatrixOf<T> X(static_cast<Index>(batch.items.size()), shape_.embed_dim);
    for_each_token(batch, [&](Index token, Index item, Index place) {
      X.row(token) = input_scale() * vectors_.row(item) + places_.row(place);
    });
    return X;
  }

  /// Adds to the gradient of the vectors, which also stand in the scores.
  void embed_backward(const HistoryBatch& batch, const MatrixOf<T>& dX) {
    places_gradient_.setZero();
    for_each_token(batch, [&](Index token, Index item, Index place) {
      vectors_gradient_.row(item) += input_scale() * dX.row(token);
      places_gradient_.row(place) += dX.row(token);
    });
  }

  RecommenderShape shape_;
  MatrixOf<T> vectors_;
  MatrixOf<T> vectors_gradient_;
  VectorOf<T> popularity_;
  VectorOf<T> popularity_gradient_;
  MatrixOf<T> places_;
  MatrixOf<T> places_gradient_;
  std::vector<HistoryBlock<T>> blocks_;
  LayerNorm<T> norm_;
};

}  // namespace examples
