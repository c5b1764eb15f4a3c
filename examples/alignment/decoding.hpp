// SPDX-License-Identifier: Apache-2.0
// Greedy translation: at each step the likeliest token, until it is the end.
#pragma once

#include <algorithm>
#include <attn/executor.hpp>
#include <cstddef>
#include <numeric>
#include <span>
#include <vector>

#include "../support/matrix.hpp"
#include "sequence_batch.hpp"
#include "translator.hpp"

namespace examples {

struct Translation {
  TokenNumbers tokens;  // without kEndToken
  Matrix weights;       // of each of them, on the source's; empty without attention
};

namespace detail {

/// Twice the source and some more is longer than any target here; what is still not over then has
/// got into a circle.
inline Index longest_target(Index source_length) { return 2 * source_length + 20; }

/// Takes one step of one sequence over into its translation; false at its end.
inline bool take_step(const Translator<float>::Step& step, Index b, Index length,
                      Translation& translation) {
  Index token = 0;
  step.logits.row(b).maxCoeff(&token);
  if (token == kEndToken) return false;
  translation.tokens.push_back(token);
  if (step.weights.size() == 0) return true;
  const auto count = static_cast<Index>(translation.tokens.size());
  translation.weights.conservativeResize(count, length);
  translation.weights.row(count - 1) = step.weights.row(b).head(length);
  return true;
}

/// Sources whose lengths do not rise.
inline std::vector<Translation> translate_batch(const Translator<float>& model,
                                                std::span<const TokenNumbers* const> sources) {
  const SourceBatch batch = source_batch(sources);
  const auto encoded = model.encode(batch);
  std::vector<Translation> result(sources.size());
  std::vector<bool> is_over(sources.size(), false);
  TokenNumbers previous(sources.size(), kEndToken);
  Matrix state = encoded.start;
  std::size_t running = sources.size();
  for (Index t = 0; t < longest_target(batch.steps) && running > 0; ++t) {
    const auto step = model.step(encoded, previous, state);
    for (std::size_t b = 0; b < sources.size(); ++b) {
      if (is_over[b]) continue;
      const Index length = batch.lengths[b];
      is_over[b] =
          t >= longest_target(length) || !take_step(step, static_cast<Index>(b), length, result[b]);
      if (is_over[b])
        --running;
      else
        previous[b] = result[b].tokens.back();
    }
  }
  return result;
}

}  // namespace detail

/// In the order of `sources`, none of which may be empty.
inline std::vector<Translation> translate(const Translator<float>& model,
                                          const std::vector<TokenNumbers>& sources, Index threads) {
  std::vector<std::size_t> order(sources.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return sources[a].size() > sources[b].size();
  });
  constexpr std::size_t kBatch = 64;
  std::vector<Translation> result(sources.size());
  const std::size_t batches = (sources.size() + kBatch - 1) / kBatch;
  attn::Threads{threads}.run(static_cast<Index>(batches), [&](Index task, Index) {
    const std::size_t first = static_cast<std::size_t>(task) * kBatch;
    const std::size_t count = std::min(kBatch, sources.size() - first);
    std::vector<const TokenNumbers*> chosen;
    for (std::size_t i = 0; i < count; ++i) chosen.push_back(&sources[order[first + i]]);
    std::vector<Translation> translated = detail::translate_batch(model, chosen);
    for (std::size_t i = 0; i < count; ++i) result[order[first + i]] = std::move(translated[i]);
  });
  return result;
}

}  // namespace examples
