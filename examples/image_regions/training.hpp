// SPDX-License-Identifier: Apache-2.0
// Training on canvases that are new in every epoch, and testing on those of other objects.
#pragma once

#include <algorithm>
#include <attn/executor.hpp>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "../support/cluttered_canvas.hpp"
#include "../support/console_table.hpp"
#include "../support/cross_entropy.hpp"
#include "../support/matrix.hpp"
#include "../support/progress.hpp"
#include "../support/training_loop.hpp"
#include "canvas_batch.hpp"
#include "pointing.hpp"
#include "prediction.hpp"
#include "region_grid.hpp"

namespace examples {

/// Answers to the first version of each canvas, in their order.
struct Evaluation {
  double loss = 0;
  std::vector<Index> labels;
  std::vector<Index> predictions;
  std::vector<float> confidences;  // the probabilities of the predictions
  Matrix weights;                  // canvases x regions; empty where a model has none

  double accuracy() const {
    Index right = 0;
    for (std::size_t i = 0; i < labels.size(); ++i) right += labels[i] == predictions[i];
    return static_cast<double>(right) /
           static_cast<double>(std::max<std::size_t>(1, labels.size()));
  }
};

namespace detail {

/// Writes the answers to canvases `first` and following.
inline double take_answers(const RegionPrediction<float>& answers, const CanvasBatch& batch,
                           Index first, Evaluation& result) {
  for (Index i = 0; i < batch.maps.images; ++i) {
    const auto at = static_cast<std::size_t>(first + i);
    result.labels[at] = batch.labels[static_cast<std::size_t>(i)];
    result.confidences[at] = answers.probabilities.row(i).maxCoeff(&result.predictions[at]);
  }
  if (result.weights.cols() > 0)
    result.weights.middleRows(first, batch.maps.images) = answers.weights;
  return static_cast<double>(cross_entropy<float>(answers.probabilities, batch.labels).loss) *
         static_cast<double>(batch.maps.images);
}

}  // namespace detail

/// `regions` is how many weights the model gives to a canvas, 0 for one without any.
template <typename Model>
Evaluation evaluate(const Model& model, const ClutteredCanvases& canvases, Index regions,
                    Index threads) {
  constexpr Index kBatch = 32;
  const Index count = canvases.size(), batches = (count + kBatch - 1) / kBatch;
  const auto size = static_cast<std::size_t>(count);
  Evaluation result{0, std::vector<Index>(size), std::vector<Index>(size), std::vector<float>(size),
                    Matrix(regions > 0 ? count : 0, regions)};
  std::vector<double> losses(static_cast<std::size_t>(batches));
  attn::Threads{threads}.run(batches, [&](Index b, Index) {
    std::vector<Index> chosen(static_cast<std::size_t>(std::min(kBatch, count - b * kBatch)));
    std::iota(chosen.begin(), chosen.end(), b * kBatch);
    const CanvasBatch batch = make_batch(canvases, chosen, 0);
    losses[static_cast<std::size_t>(b)] =
        detail::take_answers(model.predict(batch.maps), batch, b * kBatch, result);
  });
  result.loss = std::accumulate(losses.begin(), losses.end(), 0.0) /
                static_cast<double>(std::max<Index>(1, count));
  return result;
}

/// Where the weights of an evaluation lie.
inline Pointing pointing_of(const Evaluation& evaluation, const ClutteredCanvases& canvases,
                            const RegionGrid& grid) {
  Pointing pointing;
  for (Index i = 0; i < evaluation.weights.rows(); ++i)
    pointing.add(evaluation.weights.row(i), grid, canvases.make(i).box);
  return pointing;
}

/// Model: RegionModel or PixelMlp.
template <typename Model>
TrainingSummary train_on_canvases(Model& model, const std::string& title,
                                  const ClutteredCanvases& canvases,
                                  const ClutteredCanvases& validation,
                                  const TrainingLoopOptions& options, Progress& progress) {
  return train_epochs(
      model, canvases.size(), options, progress, title,
      [&](Model& copy, std::span<const Index> chosen, std::uint64_t seed) {
        CanvasBatch batch = make_batch(canvases, chosen, seed);
        return copy.differentiate(std::move(batch.maps), batch.labels);
      },
      [&](const Model& now) {
        const Evaluation judged = evaluate(now, validation, 0, options.threads);
        return Judgement{judged.loss,
                         "validation error " + fixed(100 * (1 - judged.accuracy()), 2) + " %"};
      });
}

}  // namespace examples
