// SPDX-License-Identifier: Apache-2.0
// Shape, training and sampling of the model; what the command line sets, without the library.
#pragma once

#include <cstdint>
#include <string>

#include "../support/adam.hpp"
#include "../support/matrix.hpp"

namespace examples {

struct DecoderShape {
  Index characters = 0;  // that the alphabet has
  Index layers = 2;
  Index embed_dim = 64;
  Index heads = 4;
  Index kv_heads = 2;
  Index hidden = 128;  // features between the linear layers of a block
  Index context = 64;  // characters that a window has in training
};

/// What a shape is refused for; empty where it is sound.
inline std::string contradiction(const DecoderShape& shape) {
  if (shape.embed_dim % shape.heads != 0) return "--heads must divide --embed-dim.";
  if (shape.heads % shape.kv_heads != 0) return "--kv-heads must divide --heads.";
  if (shape.embed_dim / shape.heads % 2 != 0)
    return "--embed-dim divided by --heads must be even, since features turn in pairs.";
  return {};
}

struct TrainingOptions {
  Index steps = 2500;
  double seconds = 0;     // after which training ends early; 0: no limit
  Index batch_size = 16;  // windows a step
  Index report_every = 100;
  double largest_gradient = 1;
  AdamOptions adam{.learning_rate = 8e-3f, .second_decay = 0.99f, .weight_decay = 0.01f};
  std::uint64_t seed = 1;
  Index threads = 2;
};

struct SamplingOptions {
  Index tokens = 240;
  float temperature = 0.8f;  // 0: always the likeliest
  Index top_k = 0;           // only the so many likeliest; 0: all
};

}  // namespace examples
