// SPDX-License-Identifier: Apache-2.0
// Training with early stopping: after every epoch the mean of the weights so far is judged on the
// validation texts; the best mean is kept.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "../support/adam.hpp"
#include "../support/console_table.hpp"
#include "../support/cross_entropy.hpp"
#include "../support/interrupt.hpp"
#include "../support/progress.hpp"
#include "../support/weight_average.hpp"
#include "batch.hpp"
#include "classifier.hpp"
#include "settings.hpp"

namespace examples {

struct Evaluation {
  double loss = 0;
  std::vector<Index> predictions;           // in the order of the texts
  std::vector<Vector> probabilities;        // of each text
  std::vector<std::vector<float>> weights;  // of each text's tokens
};

/// Batches of similar length make this fast; the results stand in the order of `texts`.
template <typename Model>
Evaluation evaluate(const Model& model, const std::vector<TrainingText>& texts) {
  std::vector<std::size_t> order(texts.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return texts[a].tokens.size() < texts[b].tokens.size();
  });
  Evaluation result{0, std::vector<Index>(texts.size()), std::vector<Vector>(texts.size()),
                    std::vector<std::vector<float>>(texts.size())};
  constexpr std::size_t kBatch = 64;
  for (std::size_t first = 0; first < order.size(); first += kBatch) {
    const std::size_t count = std::min(kBatch, order.size() - first);
    TextPointers chosen;
    for (std::size_t i = 0; i < count; ++i) chosen.push_back(&texts[order[first + i]]);
    const Batch batch = make_batch(chosen);
    const Classifier::Prediction p = model.predict(batch);
    result.loss += static_cast<double>(cross_entropy(p.probabilities, batch.labels).loss) *
                   static_cast<double>(count) / static_cast<double>(texts.size());
    for (std::size_t i = 0; i < count; ++i) {
      const auto row = static_cast<Index>(i);
      const std::size_t text = order[first + i];
      p.probabilities.row(row).maxCoeff(&result.predictions[text]);
      result.probabilities[text] = p.probabilities.row(row).transpose();
      const float* begin = p.weights.row(row).data();
      result.weights[text].assign(begin, begin + batch.lengths[i]);
    }
  }
  return result;
}

inline double accuracy(const Evaluation& evaluation, const std::vector<TrainingText>& texts) {
  std::size_t right = 0;
  for (std::size_t i = 0; i < texts.size(); ++i) {
    if (evaluation.predictions[i] == texts[i].label) ++right;
  }
  return static_cast<double>(right) / static_cast<double>(std::max<std::size_t>(texts.size(), 1));
}

struct TrainingSummary {
  int epochs = 0;  // the last of which may have been cut short
  double seconds = 0;
  bool interrupted = false;
};

/// Model: Classifier or BagOfWords.
template <typename Model>
class Trainer {
 public:
  Trainer(Model& model, const TrainingOptions& options, Progress& progress)
      : model_(model),
        options_(options),
        progress_(progress),
        random_(options.seed),
        adam_(options.adam),
        parameters_(model.parameters()) {}

  /// Ends early when the validation loss no longer falls, or when Ctrl-C was pressed; in each case
  /// the model is left with the best weights so far.
  TrainingSummary train(const std::string& title, const std::vector<TrainingText>& texts,
                        const std::vector<TrainingText>& validation) {
    const auto start = std::chrono::steady_clock::now();
    TrainingSummary summary;
    int epochs_since_best = 0;
    while (summary.epochs < options_.epochs && epochs_since_best < options_.patience) {
      progress_.begin(title + ", epoch " + std::to_string(summary.epochs + 1),
                      static_cast<Index>(texts.size()));
      summary.interrupted = !run_epoch(texts);
      average_.add(parameters_);
      epochs_since_best = judge(validation) ? 0 : epochs_since_best + 1;
      ++summary.epochs;
      if (summary.interrupted) break;
    }
    if (!best_.empty()) set_weights(parameters_, best_);
    const auto end = std::chrono::steady_clock::now();
    summary.seconds = std::chrono::duration<double>(end - start).count();
    return summary;
  }

 private:
  /// False when Ctrl-C ended it after some batch.
  bool run_epoch(const std::vector<TrainingText>& texts) {
    for (const TextPointers& chosen : epoch_batches(texts, options_.batch_size, random_)) {
      const Batch batch = make_batch(chosen, options_.dropout.words, &random_);
      const float loss = model_.differentiate(batch, options_.dropout);
      adam_.step(parameters_);
      progress_.advance(batch.size(), loss);
      if (interrupted()) return false;
    }
    return true;
  }

  /// Keeps the mean of the weights if it is the best so far. Without validation texts the newest
  /// mean counts as the best.
  bool judge(const std::vector<TrainingText>& validation) {
    const Weights present = copy_weights(parameters_);
    set_weights(parameters_, average_.mean());
    const Evaluation evaluation = evaluate(model_, validation);
    const bool better = validation.empty() || best_.empty() || evaluation.loss < best_loss_;
    if (better) {
      best_loss_ = evaluation.loss;
      best_ = average_.mean();
    }
    set_weights(parameters_, present);
    progress_.finish("validation loss " + fixed(evaluation.loss, 4) + "  accuracy " +
                     fixed(100 * accuracy(evaluation, validation), 2) + " %");
    return better;
  }

  Model& model_;
  TrainingOptions options_;
  Progress& progress_;
  Random random_;
  Adam adam_;
  std::vector<Parameter> parameters_;
  WeightAverage average_;
  Weights best_;
  double best_loss_ = 0;
};

}  // namespace examples
