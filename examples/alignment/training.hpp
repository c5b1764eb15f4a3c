// SPDX-License-Identifier: Apache-2.0
// Training a translator: batches of pairs, dropout, and the loss on pairs that were not seen.
#pragma once

#include <attn/executor.hpp>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "../support/console_table.hpp"
#include "../support/progress.hpp"
#include "../support/random.hpp"
#include "../support/training_loop.hpp"
#include "sequence_batch.hpp"
#include "settings.hpp"
#include "translator.hpp"

namespace examples {

/// The mean loss of a token, in nats, when the right tokens before it are known.
inline double mean_loss(const Translator<float>& model, const std::vector<NumberedPair>& pairs,
                        Index threads) {
  constexpr std::size_t kBatch = 64;
  const std::size_t batches = (pairs.size() + kBatch - 1) / kBatch;
  std::vector<double> losses(batches), counts(batches);
  attn::Threads{threads}.run(static_cast<Index>(batches), [&](Index task, Index) {
    const auto b = static_cast<std::size_t>(task);
    std::vector<const NumberedPair*> chosen;
    for (std::size_t i = b * kBatch; i < std::min(pairs.size(), (b + 1) * kBatch); ++i)
      chosen.push_back(&pairs[i]);
    const PairBatch batch = pair_batch(std::move(chosen));
    counts[b] = static_cast<double>(batch.next.size());
    losses[b] = static_cast<double>(model.loss(batch)) * counts[b];
  });
  double loss = 0, count = 0;
  for (std::size_t b = 0; b < batches; ++b) {
    loss += losses[b];
    count += counts[b];
  }
  return count == 0 ? 0 : loss / count;
}

/// The weights with the lowest loss on `validation` are kept.
inline TrainingSummary train(Translator<float>& model, const std::vector<NumberedPair>& pairs,
                             const std::vector<NumberedPair>& validation,
                             const TrainingOptions& options, const std::string& title,
                             Progress& progress) {
  const auto differentiate = [&](Translator<float>& copy, std::span<const Index> chosen,
                                 std::uint64_t seed) {
    std::vector<const NumberedPair*> batch;
    for (const Index i : chosen) batch.push_back(&pairs[static_cast<std::size_t>(i)]);
    Random random(seed);
    return copy.differentiate(pair_batch(std::move(batch)), options.dropout, random);
  };
  const auto judge = [&](const Translator<float>& trained) {
    const double loss = mean_loss(trained, validation, options.loop.threads);
    return Judgement{loss, "validation loss " + fixed(loss, 4)};
  };
  return train_epochs(model, static_cast<Index>(pairs.size()), options.loop, progress, title,
                      differentiate, judge);
}

}  // namespace examples
