// SPDX-License-Identifier: Apache-2.0
// One experiment: texts to features, a model trained on them, its answers on the test texts.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "../support/metrics.hpp"
#include "../support/progress.hpp"
#include "../support/random.hpp"
#include "bag_of_words.hpp"
#include "classifier.hpp"
#include "corpus.hpp"
#include "features.hpp"
#include "settings.hpp"
#include "training.hpp"
#include "word_vectors.hpp"

namespace examples {

struct Dataset {
  Texts train;
  Texts validation;
  Texts test;
};

/// How a model did; of several folds, all of them together.
struct ModelResult {
  std::string name;
  Confusion confusion{0};
  double train_seconds = 0;
  bool interrupted = false;
};

/// A trained classifier with what it needs to read a text.
struct TextModel {
  std::vector<std::string> classes;
  FeatureSpace space;
  Classifier classifier;
};

inline std::vector<std::vector<Token>> tokenize_all(const Texts& texts, bool digits_as_shapes) {
  std::vector<std::vector<Token>> tokens;
  for (const LabelledText& text : texts) {
    tokens.push_back(tokenize(text.text, {.digits_as_shapes = digits_as_shapes}));
  }
  return tokens;
}

/// `describe` turns the tokens of a text into what the model reads.
template <typename Describe>
std::vector<TrainingText> training_texts(const Texts& texts, const FeatureSpace& space,
                                         const std::vector<std::string>& classes,
                                         const Describe& describe) {
  std::vector<TrainingText> result;
  for (const LabelledText& text : texts) {
    result.push_back({describe(space.tokens(text.text)), class_number(classes, text)});
  }
  return result;
}

inline std::vector<TrainingText> featurized(const Texts& texts, const FeatureSpace& space,
                                            const std::vector<std::string>& classes) {
  return training_texts(texts, space, classes,
                        [&](const std::vector<Token>& tokens) { return space.features(tokens); });
}

inline std::vector<TrainingText> word_sets(const Texts& texts, const FeatureSpace& space,
                                           const std::vector<std::string>& classes) {
  return training_texts(texts, space, classes, [&](const std::vector<Token>& tokens) {
    return distinct_words(space, tokens);
  });
}

/// Words start at random, pairs at zero and letter groups near it: what is rare should say little
/// until it has been trained. Words of `vectors` start there.
inline Matrix initial_embedding(const FeatureSpace& space, Index dimension, std::uint64_t seed,
                                const WordVectors* vectors) {
  Random random(seed);
  Matrix table = Matrix::Zero(space.rows(), dimension);
  table.topRows(space.first_pair()) = random.normal_matrix(space.first_pair(), dimension, 0.1f);
  const Index letters = space.rows() - space.first_letters();
  table.bottomRows(letters) = random.normal_matrix(letters, dimension, 0.01f);
  if (vectors == nullptr) return table;
  for (Index i = 0; i < space.words().size(); ++i) {
    const float* vector = vectors->find(space.words().word(i));
    if (vector == nullptr) continue;
    table.row(space.word_row(i)) = Eigen::Map<const Eigen::RowVectorXf>(vector, dimension);
  }
  return table;
}

inline FeatureSpace feature_space(const Texts& train, const FeatureOptions& options) {
  return FeatureSpace(tokenize_all(train, options.digits_as_shapes), options);
}

inline TextModel untrained_model(const Dataset& data, const ModelOptions& options) {
  std::vector<std::string> classes = class_names(data.train);
  FeatureSpace space = feature_space(data.train, options.features);
  ClassifierShape shape = options.shape;
  shape.classes = static_cast<Index>(classes.size());
  const std::uint64_t seed = options.training.seed;
  Matrix table = initial_embedding(space, shape.embed_dim, seed, options.word_vectors);
  return {std::move(classes), std::move(space), Classifier(shape, std::move(table), seed)};
}

inline TrainingSummary train_model(TextModel& model, const Dataset& data,
                                   const TrainingOptions& options, const std::string& title,
                                   Progress& progress) {
  return Trainer(model.classifier, options, progress)
      .train(title, featurized(data.train, model.space, model.classes),
             featurized(data.validation, model.space, model.classes));
}

inline Confusion confusion_of(const Evaluation& evaluation, const std::vector<TrainingText>& texts,
                              std::size_t classes) {
  Confusion confusion(static_cast<Index>(classes));
  for (std::size_t i = 0; i < texts.size(); ++i) {
    confusion.add(texts[i].label, evaluation.predictions[i]);
  }
  return confusion;
}

/// Trains and tests the logistic regression on words.
inline ModelResult run_bag_of_words(const Dataset& data, const ModelOptions& options,
                                    const std::string& title, Progress& progress) {
  const std::vector<std::string> classes = class_names(data.train);
  const FeatureSpace space = feature_space(
      data.train,
      {.digits_as_shapes = options.features.digits_as_shapes, .pairs = false, .letters = false});
  BagOfWords model(space.first_pair(), static_cast<Index>(classes.size()));
  TrainingOptions training = options.training;
  training.dropout = {.words = 0, .pooled = 0};
  training.adam = {.learning_rate = 1e-2f};
  const TrainingSummary summary = Trainer(model, training, progress)
                                      .train(title, word_sets(data.train, space, classes),
                                             word_sets(data.validation, space, classes));
  const auto test = word_sets(data.test, space, classes);
  return {"bag of words", confusion_of(evaluate(model, test), test, classes.size()),
          summary.seconds, summary.interrupted};
}

}  // namespace examples
