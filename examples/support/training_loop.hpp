// SPDX-License-Identifier: Apache-2.0
// Training by epochs: shuffled batches, gradients on several threads, Adam with warm-up and cosine,
// and after every epoch a judgement by which the best weights are kept.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "adam.hpp"
#include "gradient_norm.hpp"
#include "interrupt.hpp"
#include "learning_rate.hpp"
#include "parallel_gradients.hpp"
#include "progress.hpp"
#include "random.hpp"
#include "training_clock.hpp"
#include "weight_average.hpp"

namespace examples {

struct TrainingLoopOptions {
  Index epochs = 10;
  Index batch_size = 32;
  Index patience = 0;           // epochs without a better judgement that end it; 0: none do
  double seconds = 0;           // after which it ends; 0: no limit
  double largest_gradient = 1;  // longer ones are shortened
  AdamOptions adam{};
  std::uint64_t seed = 1;
  Index threads = 2;
};

/// What an epoch led to, on examples that are not trained on.
struct Judgement {
  double loss = 0;  // of which less is better
  std::string remark{};
};

struct TrainingSummary {
  Index epochs = 0;  // the last of which may have been cut short
  double seconds = 0;
  bool interrupted = false;
};

/// `Differentiate` is `float (Model& copy, std::span<const Index> chosen, std::uint64_t seed)`:
/// sets the copy's gradients to those of the mean loss of the chosen examples, and returns it;
/// `seed` is for what is random in it. `Judge` is `Judgement (const Model&)`.
template <typename Model, typename Differentiate, typename Judge>
class TrainingLoop {
 public:
  TrainingLoop(Model& model, const TrainingLoopOptions& options, Progress& progress,
               Differentiate differentiate, Judge judge)
      : model_(model),
        options_(options),
        progress_(progress),
        differentiate_(std::move(differentiate)),
        judge_(std::move(judge)),
        random_(options.seed),
        adam_(options.adam),
        gradients_(model, options.threads) {}

  /// Leaves the model with the weights that were judged best.
  TrainingSummary run(const std::string& title, Index examples) {
    clock_ = TrainingClock(options_.seconds);
    std::vector<Index> order(static_cast<std::size_t>(examples));
    std::iota(order.begin(), order.end(), Index{0});
    TrainingSummary summary;
    Index epochs_since_best = 0;
    while (summary.epochs < options_.epochs && !clock_.is_over()) {
      progress_.begin(title + ", epoch " + std::to_string(summary.epochs + 1) + "/" +
                          std::to_string(options_.epochs),
                      examples);
      random_.shuffle(order);
      run_epoch(order, summary.epochs);
      ++summary.epochs;
      epochs_since_best = judge() ? 0 : epochs_since_best + 1;
      if (options_.patience > 0 && epochs_since_best >= options_.patience) break;
    }
    if (!best_.empty()) set_weights(gradients_.parameters(), best_);
    summary.seconds = clock_.seconds();
    summary.interrupted = interrupted();
    return summary;
  }

 private:
  double share_done(Index epoch, Index first, Index examples) const {
    return clock_.share_done(
        (static_cast<double>(epoch) + static_cast<double>(first) / static_cast<double>(examples)) /
        static_cast<double>(options_.epochs));
  }

  void run_epoch(std::span<const Index> order, Index epoch) {
    const auto examples = static_cast<Index>(order.size());
    for (Index first = 0; first < examples && (first == 0 || !clock_.is_over());
         first += options_.batch_size) {
      const Index size = std::min(options_.batch_size, examples - first);
      const std::uint64_t seed = random_.bits();
      const float loss = gradients_.differentiate(size, [&](Model& copy, Index begin, Index count) {
        const auto chosen =
            order.subspan(static_cast<std::size_t>(first + begin), static_cast<std::size_t>(count));
        return differentiate_(copy, chosen, seed + static_cast<std::uint64_t>(begin));
      });
      clip_gradients(gradients_.parameters(), options_.largest_gradient);
      // The middle of the step, so that the first one moves as well.
      const double share = share_done(epoch, first + size / 2, examples);
      adam_.step(gradients_.parameters(), static_cast<float>(warmup_and_cosine(share)));
      progress_.advance(size, loss);
    }
  }

  /// Keeps the weights if they are the best so far.
  bool judge() {
    const Judgement judgement = judge_(static_cast<const Model&>(model_));
    progress_.finish(judgement.remark);
    if (!best_.empty() && !(judgement.loss < best_loss_)) return false;
    best_loss_ = judgement.loss;
    best_ = copy_weights(gradients_.parameters());
    return true;
  }

  Model& model_;
  TrainingLoopOptions options_;
  Progress& progress_;
  Differentiate differentiate_;
  Judge judge_;
  Random random_;
  Adam adam_;
  ParallelGradients<Model> gradients_;
  Weights best_;
  double best_loss_ = 0;
  TrainingClock clock_{0};
};

/// Trains the model on `examples` examples, see TrainingLoop.
template <typename Model, typename Differentiate, typename Judge>
TrainingSummary train_epochs(Model& model, Index examples, const TrainingLoopOptions& options,
                             Progress& progress, const std::string& title,
                             Differentiate differentiate, Judge judge) {
  return TrainingLoop<Model, Differentiate, Judge>(model, options, progress,
                                                   std::move(differentiate), std::move(judge))
      .run(title, examples);
}

}  // namespace examples
