// SPDX-License-Identifier: Apache-2.0
// Trains the model on the histories; the epoch with the best NDCG on the validation items is kept.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "../support/console_table.hpp"
#include "../support/matrix.hpp"
#include "../support/progress.hpp"
#include "../support/training_loop.hpp"
#include "baselines.hpp"
#include "catalogue.hpp"
#include "evaluation.hpp"
#include "history_batch.hpp"
#include "recommender.hpp"
#include "settings.hpp"

namespace examples {

/// The logarithms of how many users took each item: scores whose softmax is the items' popularity.
inline Vector popularity_scores(const Histories& histories, Index items) {
  return (popularity(histories, items).array() + 1).log();
}

inline TrainingSummary train(Recommender<float>& model, const Split& split,
                             const TrainingOptions& options, Progress& progress) {
  const std::vector<std::span<const Index>> pieces =
      training_pieces(split.training(), model.shape().context);
  std::size_t predictions = 0;
  for (const auto& piece : pieces) predictions += piece.size() - 1;
  const auto questions = split.validation();
  const auto differentiate = [&](Recommender<float>& copy, std::span<const Index> chosen,
                                 std::uint64_t seed) {
    HistoryBatch batch;
    for (const Index piece : chosen) batch.add_training(pieces[static_cast<std::size_t>(piece)]);
    // Every prediction weighs the same, however the pieces are dealt out to batches.
    const double weight =
        static_cast<double>(pieces.size()) / static_cast<double>(predictions * chosen.size());
    return copy.differentiate(batch, static_cast<float>(weight), options.dropout, seed);
  };
  const auto judgement = [&](const Recommender<float>& trained) {
    const RankingMetrics metrics = judge(trained, questions);
    return Judgement{.loss = -metrics.ndcg(),
                     .remark = "validation HR@10 " + fixed(100 * metrics.hit_rate(), 2) +
                               " %  NDCG@10 " + fixed(100 * metrics.ndcg(), 2) + " %"};
  };
  return train_epochs(model, static_cast<Index>(pieces.size()), options.loop, progress,
                      "self-attention", differentiate, judgement);
}

}  // namespace examples
