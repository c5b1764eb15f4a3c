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

/// A translation that grows: the weights of its tokens one after the other.
struct Growing {
  TokenNumbers tokens;
  std::vector<float> weights;
  bool is_over = false;

  /// Takes one step of sequence b of a batch over.
  void take(const Translator<float>::Step& step, Index b, Index length) {
    Index token = 0;
    step.logits.row(b).maxCoeff(&token);
    is_over = token == kEndToken;
    if (is_over) return;
    tokens.push_back(token);
    if (step.weights.size() > 0)
      weights.insert(weights.end(), &step.weights(b, 0), &step.weights(b, 0) + length);
    is_over = static_cast<Index>(tokens.size()) == longest_target(length);
  }
  Translation finished(Index length) const {
    const auto rows = weights.empty() ? 0 : static_cast<Index>(tokens.size());
    return {tokens, Eigen::Map<const Matrix>(weights.data(), rows, rows == 0 ? 0 : length)};
  }
};

/// Sources whose lengths do not rise.
inline std::vector<Translation> translate_batch(const Translator<float>& model,
                                                std::span<const TokenNumbers* const> sources) {
  const SourceBatch batch = source_batch(sources);
  const auto encoded = model.encode(batch);
  std::vector<Growing> growing(sources.size());
  TokenNumbers previous(sources.size(), kEndToken);
  Matrix state = encoded.start;
  const auto is_over = [](const Growing& one) { return one.is_over; };
  while (!std::all_of(growing.begin(), growing.end(), is_over)) {
    const auto step = model.step(encoded, previous, state);
    for (std::size_t b = 0; b < sources.size(); ++b) {
      if (growing[b].is_over) continue;
      growing[b].take(step, static_cast<Index>(b), batch.lengths[b]);
      if (!growing[b].is_over) previous[b] = growing[b].tokens.back();
    }
  }
  std::vector<Translation> result;
  for (std::size_t b = 0; b < sources.size(); ++b)
    result.push_back(growing[b].finished(batch.lengths[b]));
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
