// SPDX-License-Identifier: Apache-2.0
// Bags, model and experiment; what the command line sets, without the library.
#pragma once

#include <array>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "../support/matrix.hpp"
#include "../support/training_loop.hpp"

namespace examples {

struct BagRules {
  Index target = 9;  // the class that makes a bag positive
  double mean_size = 10;
  double size_deviation = 2;
};

enum class Pooling { kGated, kAdditive, kMax, kMean };

/// As tables and JSON call them.
inline constexpr std::array<std::string_view, 4> kPoolingNames = {
    "gated attention", "additive attention", "max pooling", "mean pooling"};

inline std::string pooling_name(Pooling pooling) {
  return std::string(kPoolingNames[static_cast<std::size_t>(pooling)]);
}

constexpr bool has_attention(Pooling pooling) {
  return pooling == Pooling::kGated || pooling == Pooling::kAdditive;
}

struct BagModelShape {
  Index pixels = 784;
  Index hidden = 128;
  Index features = 64;
  Index attention_dim = 32;
};

struct ExperimentOptions {
  std::vector<Index> bags{50, 150, 300};
  Index test_bags = 500;
  Index repeats = 3;
  Pooling attention = Pooling::kGated;  // which one is compared with max and mean
  BagRules rules{};
  BagModelShape shape{};
  TrainingLoopOptions training{
      .epochs = 60, .batch_size = 8, .adam = {.learning_rate = 2e-3f, .weight_decay = 0.1f}};
};

}  // namespace examples
