// SPDX-License-Identifier: Apache-2.0
// Mini-batches of texts of similar length, padded to the longest.
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <utility>
#include <vector>

#include "../support/embedding.hpp"
#include "../support/matrix.hpp"
#include "../support/random.hpp"
#include "features.hpp"

namespace examples {

struct TrainingText {
  TokenFeatures tokens;
  Index label = 0;
};

/// B texts of at most T tokens; row b T + t of every matrix made from it is token t of text b.
struct Batch {
  Index longest = 0;                                // T
  std::vector<Index> lengths;                       // of each text
  std::vector<Index> labels;                        // of each text
  std::vector<std::span<const Feature>> positions;  // B x T; empty where padded

  Index size() const { return static_cast<Index>(lengths.size()); }
  Index rows() const { return size() * longest; }
};

namespace detail {

using TokenList = std::vector<std::span<const Feature>>;

/// The tokens of a text that word dropout leaves; at least one.
inline TokenList kept_tokens(const TokenFeatures& tokens, float dropout, Random* random) {
  TokenList kept;
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    if (random == nullptr || random->uniform() >= dropout) kept.push_back(tokens[i]);
  }
  if (kept.empty()) kept.push_back(tokens[random->below(tokens.size())]);
  return kept;
}

}  // namespace detail

/// Word dropout takes away whole words, so that no text hangs on a single one; without `random`
/// every word stays.
inline Batch make_batch(std::span<const TrainingText* const> texts, float word_dropout = 0,
                        Random* random = nullptr) {
  Batch batch;
  std::vector<detail::TokenList> kept;
  for (const TrainingText* text : texts) {
    kept.push_back(detail::kept_tokens(text->tokens, word_dropout, random));
    batch.lengths.push_back(static_cast<Index>(kept.back().size()));
    batch.labels.push_back(text->label);
    batch.longest = std::max(batch.longest, batch.lengths.back());
  }
  batch.positions.resize(static_cast<std::size_t>(batch.rows()));
  for (std::size_t b = 0; b < kept.size(); ++b) {
    std::copy(kept[b].begin(), kept[b].end(),
              batch.positions.begin() + static_cast<std::ptrdiff_t>(b) * batch.longest);
  }
  return batch;
}

using TextPointers = std::vector<const TrainingText*>;

inline TextPointers pointers(const std::vector<TrainingText>& texts) {
  TextPointers result;
  for (const TrainingText& text : texts) result.push_back(&text);
  return result;
}

/// Random batches for one epoch. Texts are sorted by length within stretches of 32 batches only, so
/// that padding is rare and the company a text is in still changes from epoch to epoch.
inline std::vector<TextPointers> epoch_batches(const std::vector<TrainingText>& texts,
                                               std::size_t batch_size, Random& random) {
  TextPointers order = pointers(texts);
  random.shuffle(order);
  const std::size_t stretch = 32 * batch_size;
  std::vector<TextPointers> batches;
  for (std::size_t first = 0; first < order.size(); first += stretch) {
    const auto begin = order.begin() + static_cast<std::ptrdiff_t>(first);
    const auto end =
        order.begin() + static_cast<std::ptrdiff_t>(std::min(first + stretch, order.size()));
    std::stable_sort(begin, end, [](const TrainingText* a, const TrainingText* b) {
      return a->tokens.size() < b->tokens.size();
    });
    for (auto at = begin; at < end;) {
      const auto count =
          std::min<std::ptrdiff_t>(static_cast<std::ptrdiff_t>(batch_size), end - at);
      batches.emplace_back(at, at + count);
      at += count;
    }
  }
  random.shuffle(batches);
  return batches;
}

}  // namespace examples
