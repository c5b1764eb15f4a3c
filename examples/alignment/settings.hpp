// SPDX-License-Identifier: Apache-2.0
// The shape of a translator and how it is trained; what the command line sets, without the library.
#pragma once

#include "../support/matrix.hpp"
#include "../support/training_loop.hpp"

namespace examples {

struct TranslatorShape {
  bool attention = true;
  Index source_tokens = 0;  // that the vocabularies have
  Index target_tokens = 0;
  Index embed_dim = 32;
  Index hidden = 64;  // of the decoder; each half of the encoder has half of them
};

struct TrainingOptions {
  TrainingLoopOptions loop{};
  float dropout = 0;  // of embeddings and of the last hidden layer
};

}  // namespace examples
