// SPDX-License-Identifier: Apache-2.0
// The experiment: each pooling is trained on more and more bags, several times each, and judged on
// the same test bags.
//
//     for each number of bags, for each repetition: bags -> for each pooling: train -> AUC, hits
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <ostream>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "../support/area_under_curve.hpp"
#include "../support/console_table.hpp"
#include "../support/image_files.hpp"
#include "../support/interrupt.hpp"
#include "../support/progress.hpp"
#include "../support/training_loop.hpp"
#include "bag_model.hpp"
#include "bags.hpp"
#include "settings.hpp"

namespace examples {

/// What a model says of test bags.
struct BagAnswers {
  std::vector<double> positive;              // the probability of each bag
  std::vector<std::vector<double>> weights;  // of the images of each bag; empty without attention
};

inline BagAnswers ask(const BagModel& model, const LabelledImages& set, std::span<const Bag> bags) {
  constexpr std::size_t kAtOnce = 32;
  BagAnswers answers;
  std::vector<Index> numbers(bags.size());
  std::iota(numbers.begin(), numbers.end(), Index{0});
  for (std::size_t first = 0; first < bags.size(); first += kAtOnce) {
    const std::size_t count = std::min(kAtOnce, bags.size() - first);
    const BagBatch batch = batch_of(set, bags, std::span(numbers).subspan(first, count));
    const BagModel::Prediction said = model.predict(batch);
    for_each_bag(batch.offsets, [&](Index b, Index row, Index images) {
      answers.positive.push_back(static_cast<double>(said.positive(b)));
      std::vector<double> weights;
      for (Index i = 0; i < images && said.weights.size() > 0; ++i)
        weights.push_back(static_cast<double>(said.weights(row + i)));
      answers.weights.push_back(std::move(weights));
    });
  }
  return answers;
}

/// The mean cross-entropy of the bags.
inline double loss_of(const BagAnswers& answers, std::span<const Bag> bags) {
  constexpr double kLeast = 1e-30;  // keeps the logarithm finite
  double loss = 0;
  for (std::size_t b = 0; b < bags.size(); ++b) {
    const double p = answers.positive[b];
    loss -= std::log(std::max(bags[b].is_positive ? p : 1 - p, kLeast));
  }
  return loss / static_cast<double>(bags.size());
}

inline double auc_of(const BagAnswers& answers, std::span<const Bag> bags) {
  std::vector<Index> labels;
  for (const Bag& bag : bags) labels.push_back(bag.is_positive ? 1 : 0);
  return area_under_curve(answers.positive, labels);
}

/// How often, in positive bags, the image of the highest weight is of the wanted class.
inline double hit_rate(const BagAnswers& answers, const LabelledImages& set,
                       std::span<const Bag> bags, Index target) {
  double hits = 0, positive = 0;
  for (std::size_t b = 0; b < bags.size(); ++b) {
    if (!bags[b].is_positive) continue;
    const std::vector<double>& weights = answers.weights[b];
    const auto best = std::max_element(weights.begin(), weights.end()) - weights.begin();
    hits += is_target(set, bags[b].images[static_cast<std::size_t>(best)], target) ? 1 : 0;
    ++positive;
  }
  return positive == 0 ? 0 : hits / positive;
}

/// What hit_rate would be if a die chose the image.
inline double chance_of_hit(const LabelledImages& set, std::span<const Bag> bags, Index target) {
  double share = 0, positive = 0;
  for (const Bag& bag : bags) {
    if (!bag.is_positive) continue;
    const auto wanted = std::count_if(bag.images.begin(), bag.images.end(),
                                      [&](Index i) { return is_target(set, i, target); });
    share += static_cast<double>(wanted) / static_cast<double>(bag.images.size());
    ++positive;
  }
  return positive == 0 ? 0 : share / positive;
}

/// One pooling trained on one number of bags, as often as it was repeated.
struct Outcome {
  Pooling pooling = Pooling::kGated;
  Index bags = 0;
  std::vector<double> auc{};
  std::vector<double> hit_rates{};  // with attention
  double seconds = 0;               // of training, all repetitions
};

struct Findings {
  std::vector<Outcome> outcomes;  // bag number after bag number, the poolings of each in a row
  std::vector<Bag> test_bags;
  double chance = 0;       // of a hit
  BagAnswers last;         // of the attention trained on the most bags, first repetition
  std::string last_model;  // "gated attention, 300 bags"
};

class Experiment {
 public:
  Experiment(const ExperimentOptions& options, const ImageData& data, Progress& progress)
      : options_(options), data_(data), progress_(progress) {
    options_.shape.pixels = data.train.rows * data.train.columns;
    findings_.test_bags =
        make_bags(data.test, options.rules, options.test_bags, seed_of_part(seed(), 0));
    findings_.chance = chance_of_hit(data.test, findings_.test_bags, options.rules.target);
  }

  /// Ctrl-C ends it after the training that is going on.
  Findings run() {
    for (const Index bags : options_.bags) {
      for (const Pooling pooling : {options_.attention, Pooling::kMax, Pooling::kMean}) {
        if (interrupted()) return findings_;
        repeat({pooling, bags});
      }
    }
    return findings_;
  }

 private:
  std::uint64_t seed() const { return options_.training.seed; }

  void repeat(Outcome outcome) {
    progress_.begin(pooling_name(outcome.pooling) + ", " + std::to_string(outcome.bags) + " bags",
                    options_.repeats);
    for (Index r = 0; r < options_.repeats && !interrupted(); ++r) train_once(outcome, r);
    if (outcome.auc.empty()) return;  // Ctrl-C came first
    progress_.finish("AUC " + fixed(outcome.auc.back(), 3));
    findings_.outcomes.push_back(std::move(outcome));
  }

  /// All poolings see the same bags in the same repetition.
  void train_once(Outcome& outcome, Index repetition) {
    const std::uint64_t chance = seed_of_part(seed(), static_cast<std::uint64_t>(1 + repetition));
    const std::vector<Bag> bags = make_bags(data_.train, options_.rules, outcome.bags, chance);
    BagModel model(options_.shape, outcome.pooling, Random(chance));
    const TrainingSummary summary = train(model, bags, chance);
    const BagAnswers answers = ask(model, data_.test, findings_.test_bags);
    outcome.seconds += summary.seconds;
    outcome.auc.push_back(auc_of(answers, findings_.test_bags));
    if (has_attention(outcome.pooling)) {
      outcome.hit_rates.push_back(
          hit_rate(answers, data_.test, findings_.test_bags, options_.rules.target));
      if (repetition == 0) {
        findings_.last = answers;
        findings_.last_model =
            pooling_name(outcome.pooling) + ", " + std::to_string(outcome.bags) + " bags";
      }
    }
    progress_.advance(1, static_cast<float>(loss_of(answers, findings_.test_bags)));
  }

  TrainingSummary train(BagModel& model, const std::vector<Bag>& bags, std::uint64_t chance) {
    TrainingLoopOptions options = options_.training;
    options.seed = chance;
    Progress quiet(true);
    const auto differentiate = [&](BagModel& copy, std::span<const Index> chosen,
                                   std::uint64_t seed) {
      Random nudge(seed);
      return copy.differentiate(batch_of(data_.train, bags, chosen, &nudge));
    };
    // So few bags leave none to judge by: the weights of the last epoch count.
    double epoch = 0;
    return train_epochs(model, static_cast<Index>(bags.size()), options, quiet, "", differentiate,
                        [&](const BagModel&) { return Judgement{--epoch}; });
  }

  ExperimentOptions options_;
  const ImageData& data_;
  Progress& progress_;
  Findings findings_;
};

}  // namespace examples
