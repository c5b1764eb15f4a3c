// SPDX-License-Identifier: Apache-2.0
// The tokens of both sides as numbers, and back.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "../support/vocabulary.hpp"
#include "pair_data.hpp"
#include "sequence_batch.hpp"

namespace examples {

/// One side; the numbers of sequence_batch.hpp come first.
class TokenNumbering {
 public:
  TokenNumbering() = default;

  /// As `tokens()` gave them.
  explicit TokenNumbering(const std::vector<std::string>& tokens) : numbers_(tokens) {}

  static TokenNumbering of(const VocabularyBuilder& counted, int least_count) {
    // Longer than a character and more than a word, so that no token is called so.
    std::vector<std::string> tokens = {"<end>", "<unknown>"};
    const Vocabulary kept = counted.at_least(least_count);
    tokens.insert(tokens.end(), kept.words().begin(), kept.words().end());
    return TokenNumbering(tokens);
  }

  Index size() const { return numbers_.size(); }
  const std::vector<std::string>& tokens() const { return numbers_.words(); }

  TokenNumbers encode(const Tokens& tokens) const {
    TokenNumbers numbers;
    for (const std::string& token : tokens)
      numbers.push_back(numbers_.find(token).value_or(kUnknownToken));
    return numbers;
  }
  Tokens decode(const TokenNumbers& numbers) const {
    Tokens tokens;
    for (const Index number : numbers) tokens.push_back(numbers_.word(number));
    return tokens;
  }

 private:
  Vocabulary numbers_;
};

struct Language {
  Units units;
  TokenNumbering source;
  TokenNumbering target;
};

/// Words must occur twice: one that is met once teaches nothing but its sentence. Of characters and
/// phonemes there are so few that each counts.
inline Language language_of(const PairData& data) {
  VocabularyBuilder sources, targets;
  for (const Item& item : data.train) {
    for (const std::string& token : item.source) sources.count(token);
    for (const Tokens& target : item.targets)
      for (const std::string& token : target) targets.count(token);
  }
  const int least = data.units.source == Unit::kWords ? 2 : 1;
  return {data.units, TokenNumbering::of(sources, least), TokenNumbering::of(targets, least)};
}

/// A pair for each right target of an item.
inline std::vector<NumberedPair> numbered(const std::vector<Item>& items,
                                          const Language& language) {
  std::vector<NumberedPair> pairs;
  for (const Item& item : items)
    for (const Tokens& target : item.targets)
      pairs.push_back({language.source.encode(item.source), language.target.encode(target)});
  return pairs;
}

}  // namespace examples
