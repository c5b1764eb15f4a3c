// SPDX-License-Identifier: Apache-2.0
// How large the model is and how it is trained; what the command line sets, without the library.
#pragma once

#include <string>

#include "../support/matrix.hpp"
#include "../support/training_loop.hpp"

namespace examples {

struct RecommenderShape {
  Index items = 0;
  Index layers = 2;
  Index embed_dim = 64;
  Index heads = 1;
  Index context = 50;  // the latest items of a history, which the model looks at
};

/// What a shape is refused for; empty where it is sound.
inline std::string contradiction(const RecommenderShape& shape) {
  return shape.embed_dim % shape.heads == 0 ? "" : "--heads must divide --embed-dim.";
}

struct TrainingOptions {
  TrainingLoopOptions loop{
      .epochs = 30, .batch_size = 64, .patience = 10, .adam = {.learning_rate = 4e-3f}};
  float dropout = 0.1f;  // of the input, of weights, and of what blocks add
};

}  // namespace examples
