// SPDX-License-Identifier: Apache-2.0
// A multi-head layer for tests.
#pragma once

#include <attn/multi_head.hpp>
#include <cstdint>
#include <string_view>

#include "support/random.hpp"

namespace support {

/// A layer whose biases and norms are not what they start with.
inline attn::MultiHeadAttention<double> made_layer(const attn::MultiHeadAttentionOptions& options) {
  attn::MultiHeadAttention<double> layer(options, 5);
  std::uint64_t seed = 20;
  layer.parameters.for_each([&](std::string_view, auto& tensor) {
    if (tensor.cols() == 1) tensor = random_vector(tensor.size(), ++seed);
  });
  return layer;
}

}  // namespace support
