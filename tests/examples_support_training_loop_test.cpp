// SPDX-License-Identifier: Apache-2.0
// The examples' training loop on a model with one number: loss (w - x)^2 / 2 of an example x.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <iostream>
#include <map>
#include <set>
#include <span>
#include <vector>

#include "../examples/support/parallel_gradients.hpp"
#include "../examples/support/training_loop.hpp"

namespace examples {
namespace {

class Point {
 public:
  float at() const { return w_(0); }
  std::vector<Parameter> parameters() { return {parameter("w", w_, gradient_)}; }

  /// The mean loss over `targets`, and its gradient.
  float differentiate(const std::vector<float>& targets) {
    float loss = 0;
    gradient_.setZero();
    for (const float x : targets) {
      loss += (at() - x) * (at() - x) / 2;
      gradient_(0) += at() - x;
    }
    gradient_ /= static_cast<float>(targets.size());
    return loss / static_cast<float>(targets.size());
  }

 private:
  Vector w_ = Vector::Zero(1);
  Vector gradient_ = Vector::Zero(1);
};

float differentiate_targets(Point& copy, std::span<const Index> chosen, std::uint64_t) {
  std::vector<float> targets;
  for (const Index i : chosen) targets.push_back(static_cast<float>(i));
  return copy.differentiate(targets);
}

struct Silence {
  std::ostream stream{nullptr};
  Progress progress{stream, false};
};

TEST(ParallelGradients, AreThoseOfTheMeanLossForAnyBatchSize) {
  for (const Index size : {1, 2, 3, 5, 8, 9}) {
    Point model;
    ParallelGradients<Point> gradients(model, 2);
    const auto part = [](Point& copy, Index first, Index count) {
      std::vector<float> targets;
      for (Index i = first; i < first + count; ++i) targets.push_back(static_cast<float>(i));
      return copy.differentiate(targets);
    };
    float loss = 0, gradient = 0;
    for (Index i = 0; i < size; ++i) {
      loss += static_cast<float>(i * i) / 2 / static_cast<float>(size);
      gradient -= static_cast<float>(i) / static_cast<float>(size);
    }
    EXPECT_NEAR(gradients.differentiate(size, part), loss, 1e-5f);
    EXPECT_NEAR(gradients.parameters()[0].gradient(0), gradient, 1e-5f);
    gradients.parameters()[0].value(0) = 1;  // the copies follow
    EXPECT_EQ(gradients.differentiate(1, part), 0.5f);
  }
}

TEST(TrainingLoop, FindsTheMeanOfItsExamples) {
  Point model;
  Silence silence;
  const TrainingSummary summary =
      train_epochs(model, 5, {.epochs = 300, .batch_size = 5, .adam = {.learning_rate = 0.1f}},
                   silence.progress, "point", differentiate_targets, [](const Point& point) {
                     return Judgement{std::abs(point.at() - 2.0), ""};
                   });
  EXPECT_EQ(summary.epochs, 300);
  EXPECT_FALSE(summary.interrupted);
  EXPECT_NEAR(model.at(), 2, 0.01);
}

TEST(TrainingLoop, KeepsTheBestWeightsAndStopsWhenPatienceEnds) {
  Point model;
  Silence silence;
  std::vector<float> judged;
  const TrainingSummary summary =
      train_epochs(model, 4, {.epochs = 50, .batch_size = 2, .patience = 3}, silence.progress,
                   "point", differentiate_targets, [&](const Point& point) {
                     judged.push_back(point.at());
                     return Judgement{std::abs(static_cast<double>(judged.size()) - 4.0), ""};
                   });
  EXPECT_EQ(summary.epochs, 7);
  ASSERT_EQ(judged.size(), 7u);
  EXPECT_EQ(model.at(), judged[3]);
  EXPECT_NE(judged[3], judged[6]);
}

TEST(TrainingLoop, ShowsEveryExampleOnceAnEpochAndNoSeedTwice) {
  Point model;
  Silence silence;
  std::map<Index, int> shown;
  std::set<std::uint64_t> seeds;
  train_epochs(
      model, 7, {.epochs = 3, .batch_size = 3, .threads = 1}, silence.progress, "point",
      [&](Point& copy, std::span<const Index> chosen, std::uint64_t seed) {
        for (const Index i : chosen) ++shown[i];
        EXPECT_TRUE(seeds.insert(seed).second);
        return differentiate_targets(copy, chosen, seed);
      },
      [](const Point&) { return Judgement{}; });
  EXPECT_EQ(shown.size(), 7u);
  for (const auto& [example, times] : shown) EXPECT_EQ(times, 3) << example;
}

TEST(TrainingLoop, DoesNotDependOnThreads) {
  std::vector<float> ends;
  for (const Index threads : {1, 3}) {
    Point model;
    Silence silence;
    train_epochs(model, 50, {.epochs = 3, .batch_size = 7, .threads = threads}, silence.progress,
                 "point", differentiate_targets, [](const Point&) { return Judgement{}; });
    ends.push_back(model.at());
  }
  EXPECT_EQ(ends[0], ends[1]);
}

TEST(TrainingLoop, EndsWhenTheTimeIsUp) {
  Point model;
  Silence silence;
  const TrainingSummary summary = train_epochs(
      model, 5, {.epochs = 1000000, .batch_size = 5, .seconds = 0.02}, silence.progress, "point",
      differentiate_targets, [](const Point&) { return Judgement{}; });
  EXPECT_GE(summary.epochs, 1);
  EXPECT_LT(summary.epochs, 1000000);
  EXPECT_GE(summary.seconds, 0.02);
}

}  // namespace
}  // namespace examples
