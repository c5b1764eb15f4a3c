// SPDX-License-Identifier: Apache-2.0
// Logistic regression on the set of words of a text: the baseline that is hard to beat on short
// text.
//
//     p = softmax(bias + sum over the distinct words w of the text of E[w])
//
// It has the interface of Classifier, so that the same trainer with the same early stopping trains
// both; a text is the list of its distinct words, in which no place and no weight tells them apart.
#pragma once

#include <cstddef>
#include <set>
#include <span>

#include <utility>
#include <vector>

#include "../support/cross_entropy.hpp"
#include "../support/embedding.hpp"
#include "../support/matrix.hpp"
#include "../support/parameter.hpp"
#include "../support/tokenizer.hpp"
#include "batch.hpp"
#include "classifier.hpp"
#include "features.hpp"

namespace examples {

class BagOfWords {
 public:
  /// Starts from zero: the loss is convex, so the start does not matter.
  BagOfWords(Index words, Index classes)
      : embedding_(Matrix::Zero(words, classes)),
        bias_(Vector::Zero(classes)),
        bias_gradient_(Vector::Zero(classes)) {}

  Classifier::Prediction predict(const Batch& batch) const {
    Matrix weights = Matrix::Zero(batch.size(), batch.longest);
    return {row_softmax(logits(batch)), std::move(weights)};
  }

  float differentiate(const Batch& batch, const DropoutRates&) {
    const CrossEntropy end = cross_entropy(row_softmax(logits(batch)), batch.labels);
    embedding_.clear_gradient();
    for (Index row = 0; row < batch.rows(); ++row) {
      embedding_.add_gradient(end.gradient.row(row / batch.longest), position(batch, row));
    }
    bias_gradient_ = end.gradient.colwise().sum().transpose();
    return end.loss;
  }

  std::vector<Parameter> parameters() {
    return {embedding_.parameter("words"), parameter("bias", bias_, bias_gradient_)};
  }

 private:
  static std::span<const Feature> position(const Batch& batch, Index row) {
    return batch.positions[static_cast<std::size_t>(row)];
  }

  Matrix logits(const Batch& batch) const {
    Matrix logits = bias_.transpose().replicate(batch.size(), 1);
    for (Index row = 0; row < batch.rows(); ++row) {
      embedding_.add_to(logits.row(row / batch.longest), position(batch, row));
    }
    return logits;
  }

  Embedding embedding_;
  Vector bias_;
  Vector bias_gradient_;
};

/// The distinct words of a text that training has seen often enough.
inline TokenFeatures distinct_words(const FeatureSpace& space, const std::vector<Token>& tokens) {
  std::set<Index> rows;
  for (const Token& token : tokens) {
    if (const auto number = space.words().find(token.word)) rows.insert(space.word_row(*number));
  }
  if (rows.empty()) rows.insert(0);
  TokenFeatures result;
  for (const Index row : rows) {
    result.features.push_back({row, 1});
    result.ends.push_back(result.features.size());
  }
  return result;
}

}  // namespace examples
