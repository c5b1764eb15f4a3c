// SPDX-License-Identifier: Apache-2.0
// Text from the model: the prompt goes through the caches at once, then character by character.
#pragma once

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <functional>
#include <numeric>
#include <span>
#include <vector>

#include "../support/interrupt.hpp"
#include "../support/matrix.hpp"
#include "../support/random.hpp"
#include "decoder.hpp"
#include "settings.hpp"

namespace examples {

/// Draws a character by softmax(logits / temperature) over the likeliest ones.
inline Index draw(const Vector& logits, const SamplingOptions& options, Random& random) {
  std::vector<Index> order(static_cast<std::size_t>(logits.size()));
  std::iota(order.begin(), order.end(), Index{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](Index a, Index b) { return logits(a) > logits(b); });
  if (!(options.temperature > 0)) return order.front();
  if (options.top_k > 0)
    order.resize(std::min(order.size(), static_cast<std::size_t>(options.top_k)));
  std::vector<float> up_to;  // running sums of the weights
  float sum = 0;
  for (const Index c : order)
    up_to.push_back(sum += std::exp((logits(c) - logits(order.front())) / options.temperature));
  const float at = random.uniform() * sum;
  const auto found = std::upper_bound(up_to.begin(), up_to.end(), at);
  return order[std::min(static_cast<std::size_t>(found - up_to.begin()), order.size() - 1)];
}

struct Sample {
  Index tokens = 0;
  double seconds = 0;
};

/// Calls show(character) for each new one; Ctrl-C ends it.
inline Sample sample(const Decoder<float>& model, std::span<const Index> prompt,
                     const SamplingOptions& options, Random& random,
                     const std::function<void(Index)>& show) {
  const auto start = std::chrono::steady_clock::now();
  auto caches = model.caches();
  Matrix logits = model.step(prompt, caches);
  Sample result;
  while (result.tokens < options.tokens && !interrupted()) {
    const Index next = draw(logits.bottomRows(1).transpose(), options, random);
    show(next);
    ++result.tokens;
    logits = model.step(std::span(&next, 1), caches);
  }
  result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return result;
}

}  // namespace examples
