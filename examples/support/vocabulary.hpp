// SPDX-License-Identifier: Apache-2.0
// Words (or any strings) to consecutive numbers, in the order of their first appearance.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "matrix.hpp"

namespace examples {

class Vocabulary {
 public:
  Vocabulary() = default;

  /// A list read back from a file; repeated words would make numbers ambiguous and are merged.
  explicit Vocabulary(const std::vector<std::string>& words) {
    for (const std::string& word : words) add(word);
  }

  Index size() const { return static_cast<Index>(words_.size()); }
  const std::vector<std::string>& words() const { return words_; }
  const std::string& word(Index number) const { return words_[static_cast<std::size_t>(number)]; }

  std::optional<Index> find(const std::string& word) const {
    const auto found = numbers_.find(word);
    if (found == numbers_.end()) return std::nullopt;
    return found->second;
  }

  /// The number of `word`, which is given one if it has none yet.
  Index add(const std::string& word) {
    const auto [place, is_new] = numbers_.try_emplace(word, size());
    if (is_new) words_.push_back(word);
    return place->second;
  }

 private:
  std::unordered_map<std::string, Index> numbers_;
  std::vector<std::string> words_;
};

/// Counts words and keeps those that were seen often enough.
class VocabularyBuilder {
 public:
  void count(const std::string& word) {
    const auto number = static_cast<std::size_t>(seen_.add(word));
    if (number == counts_.size()) counts_.push_back(0);
    ++counts_[number];
  }

  Vocabulary at_least(int smallest_count) const {
    Vocabulary kept;
    for (Index i = 0; i < seen_.size(); ++i) {
      if (counts_[static_cast<std::size_t>(i)] >= smallest_count) kept.add(seen_.word(i));
    }
    return kept;
  }

 private:
  Vocabulary seen_;
  std::vector<int> counts_;  // one for each word of seen_
};

}  // namespace examples
