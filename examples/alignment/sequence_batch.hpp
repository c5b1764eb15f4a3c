// SPDX-License-Identifier: Apache-2.0
// Pairs of sequences as the model reads them: numbers, ordered by time, padded to the longest.
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <vector>

#include "../support/matrix.hpp"

namespace examples {

/// Stands behind the last token of every target, and before its first one.
inline constexpr Index kEndToken = 0;
/// Every token that the training did not see often enough.
inline constexpr Index kUnknownToken = 1;

using TokenNumbers = std::vector<Index>;

struct NumberedPair {
  TokenNumbers source;
  TokenNumbers target;  // without kEndToken
};

/// B sources; row t B + b is token t of source b.
struct SourceBatch {
  std::vector<Index> lengths;  // B, the longest first
  Index steps = 0;             // Tx, the longest length
  TokenNumbers tokens;         // Tx B

  Index size() const { return static_cast<Index>(lengths.size()); }
};

/// With the targets as the decoder learns them: from each token to the next.
struct PairBatch {
  SourceBatch source;
  std::vector<Index> lengths;  // B, with kEndToken
  Index steps = 0;             // Ty, the longest length
  TokenNumbers previous;       // Ty B, beginning with kEndToken
  TokenNumbers rows;           // of the Ty B those that are no padding
  TokenNumbers next;           // what should follow in those
};

/// The sources must not be empty, and the longest must come first.
inline SourceBatch source_batch(std::span<const TokenNumbers* const> sources) {
  SourceBatch batch;
  for (const TokenNumbers* source : sources) {
    batch.lengths.push_back(static_cast<Index>(source->size()));
    batch.steps = std::max(batch.steps, batch.lengths.back());
  }
  batch.tokens.assign(static_cast<std::size_t>(batch.steps) * sources.size(), kUnknownToken);
  for (std::size_t b = 0; b < sources.size(); ++b)
    for (std::size_t t = 0; t < sources[b]->size(); ++t)
      batch.tokens[t * sources.size() + b] = (*sources[b])[t];
  return batch;
}

/// In the order of falling source lengths, whatever the order of `pairs`.
inline PairBatch pair_batch(std::vector<const NumberedPair*> pairs) {
  std::stable_sort(pairs.begin(), pairs.end(), [](const NumberedPair* a, const NumberedPair* b) {
    return a->source.size() > b->source.size();
  });
  std::vector<const TokenNumbers*> sources;
  for (const NumberedPair* pair : pairs) sources.push_back(&pair->source);
  PairBatch batch;
  batch.source = source_batch(sources);
  for (const NumberedPair* pair : pairs) {
    batch.lengths.push_back(static_cast<Index>(pair->target.size()) + 1);
    batch.steps = std::max(batch.steps, batch.lengths.back());
  }
  for (std::size_t t = 0; t < static_cast<std::size_t>(batch.steps); ++t) {
    for (std::size_t b = 0; b < pairs.size(); ++b) {
      const TokenNumbers& target = pairs[b]->target;
      batch.previous.push_back(t > 0 && t <= target.size() ? target[t - 1] : kEndToken);
      if (t > target.size()) continue;
      batch.rows.push_back(static_cast<Index>(t * pairs.size() + b));
      batch.next.push_back(t < target.size() ? target[t] : kEndToken);
    }
  }
  return batch;
}

}  // namespace examples
