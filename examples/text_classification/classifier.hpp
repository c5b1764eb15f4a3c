// SPDX-License-Identifier: Apache-2.0
// The model: embedding, self-attention if asked for, pooling, a linear layer, softmax.
//
//     tokens -> X -> [X + self-attention] -> c = sum_t alpha_t x_t -> softmax(C c + bias)
//
// alpha is the library's AttentionPooling, softmax(v . tanh(W x_t + b)), or 1 / length for the
// model without attention that it is compared with.
#pragma once

#include <attn/attn.hpp>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "../support/cross_entropy.hpp"
#include "../support/dropout.hpp"
#include "../support/embedding.hpp"
#include "../support/linear.hpp"
#include "../support/matrix.hpp"
#include "../support/parameter.hpp"
#include "../support/random.hpp"
#include "batch.hpp"
#include "self_attention.hpp"
#include "settings.hpp"

namespace examples {

class Classifier {
 public:
  struct Prediction {
    Matrix probabilities;  // B x classes
    Matrix weights;        // B x T, the attention of the pooling; 0 behind a text's length
  };

  Classifier(const ClassifierShape& shape, Matrix embedding, std::uint64_t seed)
      : shape_(shape),
        random_(seed),
        embedding_(std::move(embedding)),
        pooling_({.embed_dim = shape.embed_dim, .attention_dim = shape.attention_dim}, seed),
        pooling_gradient_(pooling_.parameters),
        output_(shape.embed_dim, shape.classes, random_) {
    if (const auto options = self_attention_options(shape)) {
      self_attention_.emplace(*options, random_);
    }
  }

  const ClassifierShape& shape() const { return shape_; }

  Prediction predict(const Batch& batch) const {
    const Matrix X = embed(batch);
    if (!self_attention_) return predict_pooled(X, batch);
    return predict_pooled(self_attention_->forward(X, batch.lengths).output, batch);
  }

  /// Forward and backward over one batch: fills the gradients and returns the loss.
  float differentiate(const Batch& batch, const DropoutRates& dropout) {
    const Matrix X = embed(batch);
    embedding_.clear_gradient();
    if (!self_attention_)
      return differentiate_pooled(X, batch, dropout,
                                  [&](const Matrix& dX) { add_embedding_gradient(batch, dX); });
    SelfAttention::Forward attended = self_attention_->forward(X, batch.lengths);
    return differentiate_pooled(attended.output, batch, dropout, [&](const Matrix& dY) {
      add_embedding_gradient(batch, self_attention_->backward(attended, dY));
    });
  }

  /// Every trainable tensor with its gradient, always in the same order.
  std::vector<Parameter> parameters() {
    std::vector<Parameter> list{embedding_.parameter("embedding")};
    if (self_attention_) self_attention_->append_parameters(list, "self_attention");
    if (shape_.attention != AttentionKind::kNone) {
      auto& p = pooling_.parameters;
      auto& g = pooling_gradient_;
      list.push_back(parameter("pooling.W", p.W, g.W));
      list.push_back(parameter("pooling.b", p.b, g.b));
      list.push_back(parameter("pooling.v", p.v, g.v));
    }
    output_.append_parameters(list, "output");
    return list;
  }

 private:
  using Pooling = attn::AttentionPooling<float>;

  static std::optional<SelfAttentionOptions> self_attention_options(const ClassifierShape& shape) {
    SelfAttentionOptions options{
        .embed_dim = shape.embed_dim, .attention_dim = shape.attention_dim, .window = shape.window};
    switch (shape.attention) {
      case AttentionKind::kNone:
      case AttentionKind::kPooling:
        return std::nullopt;
      case AttentionKind::kAdditive:
        options.score = ScoreKind::kAdditive;
        break;
      case AttentionKind::kDot:
        options.score = ScoreKind::kDot;
        break;
      case AttentionKind::kScaledDot:
        break;
      case AttentionKind::kMultiHead:
        options.heads = shape.heads;
        break;
    }
    return options;
  }

  Matrix embed(const Batch& batch) const {
    Matrix X = Matrix::Zero(batch.rows(), shape_.embed_dim);
    for (Index row = 0; row < X.rows(); ++row) {
      embedding_.add_to(X.row(row), batch.positions[static_cast<std::size_t>(row)]);
    }
    return X;
  }

  void add_embedding_gradient(const Batch& batch, const Matrix& dX) {
    for (Index row = 0; row < dX.rows(); ++row) {
      embedding_.add_gradient(dX.row(row), batch.positions[static_cast<std::size_t>(row)]);
    }
  }

  static auto view(const Matrix& X, const Batch& batch) {
    return attn::bhtd(X.data(), batch.size(), Index{1}, batch.longest, X.cols());
  }

  /// 1 / length for every word.
  static Matrix mean_weights(const Batch& batch) {
    Matrix weights = Matrix::Zero(batch.size(), batch.longest);
    for (Index b = 0; b < batch.size(); ++b) {
      const Index length = batch.lengths[static_cast<std::size_t>(b)];
      weights.row(b).head(length).setConstant(1 / static_cast<float>(length));
    }
    return weights;
  }

  static Matrix weighted_means(const Matrix& X, const Matrix& weights) {
    Matrix pooled(weights.rows(), X.cols());
    for (Index b = 0; b < weights.rows(); ++b) {
      pooled.row(b).noalias() = weights.row(b) * X.middleRows(b * weights.cols(), weights.cols());
    }
    return pooled;
  }

  Prediction predict_pooled(const Matrix& X, const Batch& batch) const {
    if (shape_.attention == AttentionKind::kNone) {
      Matrix weights = mean_weights(batch);
      return {row_softmax(output_.forward(weighted_means(X, weights))), std::move(weights)};
    }
    const auto pooled = pooling_.forward(view(X, batch), attn::KeyPadding{batch.lengths});
    return {row_softmax(output_.forward(pooled.output)), pooled.weights};
  }

  template <typename Backward>
  float differentiate_pooled(const Matrix& X, const Batch& batch, const DropoutRates& dropout,
                             const Backward& backward) {
    if (shape_.attention == AttentionKind::kNone) {
      const Matrix weights = mean_weights(batch);
      const auto [loss, dC] = differentiate_output(weighted_means(X, weights), batch, dropout);
      Matrix dX(X.rows(), X.cols());
      for (Index b = 0; b < batch.size(); ++b) {
        dX.middleRows(b * batch.longest, batch.longest).noalias() =
            weights.row(b).transpose() * dC.row(b);
      }
      backward(dX);
      return loss;
    }
    const auto pooled = pooling_.forward(view(X, batch), attn::KeyPadding{batch.lengths});
    const auto [loss, dC] = differentiate_output(pooled.output, batch, dropout);
    const auto gradient = pooling_.backward(pooled, dC);
    pooling_gradient_ = gradient.parameters;
    backward(gradient.input);
    return loss;
  }

  /// The loss and its gradient with respect to the pooled vectors.
  CrossEntropy differentiate_output(const Matrix& pooled, const Batch& batch,
                                    const DropoutRates& dropout) {
    const Matrix mask = dropout_mask(pooled.rows(), pooled.cols(), dropout.pooled, random_);
    const Matrix dropped = pooled.cwiseProduct(mask);
    const CrossEntropy end = cross_entropy(row_softmax(output_.forward(dropped)), batch.labels);
    return {end.loss, output_.backward(dropped, end.gradient).cwiseProduct(mask)};
  }

  ClassifierShape shape_;
  Random random_;
  Embedding embedding_;
  Pooling pooling_;
  decltype(Pooling::parameters) pooling_gradient_;
  Linear output_;
  std::optional<SelfAttention> self_attention_;
};

}  // namespace examples
