// SPDX-License-Identifier: Apache-2.0
// Pieces of a text for the model: random ones to train on, and those that cover a text to judge.
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <vector>

#include "../support/matrix.hpp"
#include "../support/random.hpp"

namespace examples {

/// `count` windows of equal length, one behind the other.
struct Windows {
  Index count = 0;
  std::vector<Index> characters;
  std::vector<Index> next;  // the character after each

  /// Adds the window of `length` characters that starts at `first`.
  void add(std::span<const Index> text, std::size_t first, std::size_t length) {
    const auto piece = text.subspan(first, length + 1);
    characters.insert(characters.end(), piece.begin(), piece.end() - 1);
    next.insert(next.end(), piece.begin() + 1, piece.end());
    ++count;
  }
};

/// Where windows of `length` characters start, anywhere in a text that is longer than that.
inline std::vector<std::size_t> random_windows(std::size_t text_size, Index count, Index length,
                                               Random& random) {
  std::vector<std::size_t> starts;
  for (Index i = 0; i < count; ++i)
    starts.push_back(random.below(text_size - static_cast<std::size_t>(length)));
  return starts;
}

/// A window to judge a model by: its last `counted` predictions count, those before are context.
struct JudgedWindow {
  std::size_t first = 0;
  std::size_t length = 0;
  std::size_t counted = 0;
};

/// Windows in which every character of the text but the first counts once, each (but those at the
/// start) with `length` / 2 characters or more before it.
inline std::vector<JudgedWindow> covering_windows(std::size_t text_size, std::size_t length) {
  std::vector<JudgedWindow> windows;
  const std::size_t predicted = text_size < 2 ? 0 : text_size - 1;
  for (std::size_t done = 0; done < predicted;) {
    const std::size_t context = std::min(done, length / 2);
    const std::size_t counted = std::min(predicted - done, length - context);
    windows.push_back({done - context, context + counted, counted});
    done += counted;
  }
  return windows;
}

}  // namespace examples
