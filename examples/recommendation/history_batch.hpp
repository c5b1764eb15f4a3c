// SPDX-License-Identifier: Apache-2.0
// Histories of different lengths without padding, one behind the other.
#pragma once

#include <algorithm>
#include <attn/attn.hpp>
#include <cstddef>
#include <span>
#include <vector>

#include "../support/matrix.hpp"

namespace examples {

struct HistoryBatch {
  std::vector<Index> items;
  std::vector<Index> offsets{0};  // where each history starts, and the end of the last
  std::vector<Index> next;        // the item after each, where it is known

  Index count() const { return static_cast<Index>(offsets.size()) - 1; }
  attn::CumulativeLengths sequences() const { return {.query_offsets = offsets}; }

  /// The latest `context` items of a history, or all.
  void add(std::span<const Index> known, Index context) {
    const auto used = known.last(std::min(known.size(), static_cast<std::size_t>(context)));
    items.insert(items.end(), used.begin(), used.end());
    offsets.push_back(static_cast<Index>(items.size()));
  }

  /// A piece of a history to train on: each item but the last foretells the one after it.
  void add_training(std::span<const Index> piece) {
    add(piece.first(piece.size() - 1), static_cast<Index>(piece.size()));
    next.insert(next.end(), piece.begin() + 1, piece.end());
  }
};

/// Pieces of at most `context` items and one more, in which every item of the histories but the
/// first of each is foretold once.
inline std::vector<std::span<const Index>> training_pieces(
    const std::vector<std::span<const Index>>& histories, Index context) {
  std::vector<std::span<const Index>> pieces;
  const auto longest = static_cast<std::size_t>(context) + 1;
  for (std::span<const Index> rest : histories) {
    while (rest.size() >= 2) {
      const auto piece = rest.last(std::min(rest.size(), longest));
      pieces.push_back(piece);
      rest = rest.first(rest.size() - piece.size() + 1);
    }
  }
  return pieces;
}

}  // namespace examples
