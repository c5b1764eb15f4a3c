// SPDX-License-Identifier: Apache-2.0
// Training: random windows, Adam with warm-up and cosine, and the loss on text that was not seen.
#pragma once

#include <algorithm>
#include <attn/executor.hpp>
#include <cmath>
#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "../support/adam.hpp"
#include "../support/console_table.hpp"
#include "../support/cross_entropy.hpp"
#include "../support/gradient_norm.hpp"
#include "../support/interrupt.hpp"
#include "../support/learning_rate.hpp"
#include "../support/parallel_gradients.hpp"
#include "../support/progress.hpp"
#include "../support/training_clock.hpp"
#include "decoder.hpp"
#include "settings.hpp"
#include "text_windows.hpp"

namespace examples {

/// The mean loss in nats a character over all of a text but its first character.
inline double mean_loss(const Decoder<float>& model, std::span<const Index> text, Index threads) {
  const auto windows =
      covering_windows(text.size(), static_cast<std::size_t>(model.shape().context));
  std::vector<double> losses(windows.size());
  attn::Threads{threads}.run(static_cast<Index>(windows.size()), [&](Index w, Index) {
    const JudgedWindow& judged = windows[static_cast<std::size_t>(w)];
    Windows one;
    one.add(text, judged.first, judged.length);
    const auto counted = static_cast<Index>(judged.counted);
    const Matrix p = row_softmax(Matrix(model.logits(one.characters, 1).bottomRows(counted)));
    losses[static_cast<std::size_t>(w)] =
        static_cast<double>(cross_entropy(p, std::span(one.next).last(judged.counted)).loss) *
        static_cast<double>(judged.counted);
  });
  double sum = 0;
  for (const double loss : losses) sum += loss;
  return text.size() < 2 ? 0 : sum / static_cast<double>(text.size() - 1);
}

/// A point of the loss curve: the mean since the point before, and the loss on unseen text.
struct LossPoint {
  Index step = 0;
  double train = 0;
  double validation = 0;
};

struct TrainingSummary {
  std::vector<LossPoint> curve;
  Index steps = 0;
  double seconds = 0;
  bool interrupted = false;
};

class Trainer {
 public:
  Trainer(Decoder<float>& model, const TrainingOptions& options, Progress& progress)
      : model_(model),
        options_(options),
        progress_(progress),
        random_(options.seed),
        adam_(options.adam),
        gradients_(model, options.threads) {}

  /// Ends early when the time is up or Ctrl-C was pressed. Between the points of the curve only the
  /// beginning of `validation` is judged.
  TrainingSummary train(std::span<const Index> text, std::span<const Index> validation) {
    clock_ = TrainingClock(options_.seconds);
    TrainingSummary summary;
    while (summary.steps < options_.steps && !clock_.is_over()) {
      const Index until = std::min(summary.steps + options_.report_every, options_.steps);
      LossPoint point = run(text, summary.steps, until);
      summary.steps = point.step;
      constexpr std::size_t kJudged = 8192;
      point.validation = mean_loss(model_, validation.first(std::min(kJudged, validation.size())),
                                   options_.threads);
      progress_.finish("validation loss " + fixed(point.validation, 4));
      summary.curve.push_back(point);
    }
    summary.seconds = clock_.seconds();
    summary.interrupted = interrupted();
    return summary;
  }

 private:
  /// Steps `first` to `until`, or fewer.
  LossPoint run(std::span<const Index> text, Index first, Index until) {
    const Index characters = options_.batch_size * model_.shape().context;
    progress_.begin("step " + std::to_string(until) + "/" + std::to_string(options_.steps),
                    (until - first) * characters);
    LossPoint point{first, 0, 0};
    while (point.step < until && (point.step == first || !clock_.is_over())) {
      const float loss = differentiate(text);
      clip_gradients(gradients_.parameters(), options_.largest_gradient);
      const double share = clock_.share_done(static_cast<double>(point.step + 1) /
                                             static_cast<double>(options_.steps));
      adam_.step(gradients_.parameters(), static_cast<float>(warmup_and_cosine(share)));
      progress_.advance(characters, loss);
      point.train += static_cast<double>(loss);
      ++point.step;
    }
    point.train /= static_cast<double>(point.step - first);
    return point;
  }

  float differentiate(std::span<const Index> text) {
    const Index length = model_.shape().context;
    const auto starts = random_windows(text.size(), options_.batch_size, length, random_);
    return gradients_.differentiate(options_.batch_size, [&](Decoder<float>& copy, Index first,
                                                             Index count) {
      Windows windows;
      for (Index w = first; w < first + count; ++w)
        windows.add(text, starts[static_cast<std::size_t>(w)], static_cast<std::size_t>(length));
      return copy.differentiate(windows);
    });
  }

  Decoder<float>& model_;
  TrainingOptions options_;
  Progress& progress_;
  Random random_;
  Adam adam_;
  ParallelGradients<Decoder<float>> gradients_;
  TrainingClock clock_{0};
};

}  // namespace examples
