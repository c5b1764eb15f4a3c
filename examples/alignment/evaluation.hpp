// SPDX-License-Identifier: Apache-2.0
// How good translations are: whole ones that are right, wrong tokens, and both by input length.
//
//     token error rate = sum of edits to the nearest right target / sum of the lengths of those
//
// For phonemes this is the phoneme error rate of the literature.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <span>
#include <vector>

#include "../support/edit_distance.hpp"
#include "decoding.hpp"
#include "language.hpp"
#include "pair_data.hpp"

namespace examples {

struct JudgedTranslation {
  Tokens tokens;
  Matrix weights;
  std::size_t source_length = 0;
  std::size_t target_length = 0;  // of the nearest right one
  std::size_t edits = 0;          // to it
};

inline JudgedTranslation judge(Tokens tokens, Matrix weights, const Item& item) {
  JudgedTranslation judged{std::move(tokens), std::move(weights), item.source.size(), 0, 0};
  judged.edits = std::numeric_limits<std::size_t>::max();
  for (const Tokens& target : item.targets) {
    const std::size_t edits = edit_distance(std::span<const std::string>(judged.tokens),
                                            std::span<const std::string>(target));
    if (edits >= judged.edits) continue;
    judged.edits = edits;
    judged.target_length = target.size();
  }
  return judged;
}

/// Over some or all translations.
struct Score {
  std::size_t count = 0;
  std::size_t exact = 0;
  std::size_t edits = 0;
  std::size_t target_tokens = 0;

  void add(const JudgedTranslation& judged) {
    ++count;
    exact += judged.edits == 0 ? 1 : 0;
    edits += judged.edits;
    target_tokens += judged.target_length;
  }
  double exact_match() const {
    return static_cast<double>(exact) / static_cast<double>(std::max<std::size_t>(count, 1));
  }
  double error_rate() const {
    return static_cast<double>(edits) /
           static_cast<double>(std::max<std::size_t>(target_tokens, 1));
  }
};

struct Evaluation {
  std::vector<JudgedTranslation> translations;  // in the order of the items

  Score score() const {
    Score score;
    for (const JudgedTranslation& judged : translations) score.add(judged);
    return score;
  }
};

inline Evaluation evaluate(const Translator<float>& model, const Language& language,
                           const std::vector<Item>& items, Index threads) {
  std::vector<TokenNumbers> sources;
  for (const Item& item : items) sources.push_back(language.source.encode(item.source));
  std::vector<Translation> translated = translate(model, sources, threads);
  Evaluation evaluation;
  for (std::size_t i = 0; i < items.size(); ++i)
    evaluation.translations.push_back(judge(language.target.decode(translated[i].tokens),
                                            std::move(translated[i].weights), items[i]));
  return evaluation;
}

/// Source lengths from `first` to `last`.
struct LengthRange {
  std::size_t first = 0;
  std::size_t last = 0;
};

/// About ten ranges of one round width, from the first that has an item to the last; those between
/// that have none are left out.
inline std::vector<LengthRange> length_ranges(const std::vector<Item>& items) {
  std::vector<std::size_t> lengths;
  for (const Item& item : items) lengths.push_back(item.source.size());
  if (lengths.empty()) return {};
  const std::size_t longest = *std::max_element(lengths.begin(), lengths.end());
  std::size_t width = 1;
  for (const std::size_t round : {2u, 5u, 10u, 20u, 50u, 100u, 200u, 500u, 1000u})
    if (longest > 10 * width) width = round;
  std::vector<LengthRange> ranges;
  for (std::size_t first = 1; first <= longest; first += width) {
    const LengthRange range{first, first + width - 1};
    if (std::any_of(lengths.begin(), lengths.end(), [&](std::size_t length) {
          return length >= range.first && length <= range.last;
        }))
      ranges.push_back(range);
  }
  return ranges;
}

inline Score score_in(const Evaluation& evaluation, const LengthRange& range) {
  Score score;
  for (const JudgedTranslation& judged : evaluation.translations)
    if (judged.source_length >= range.first && judged.source_length <= range.last)
      score.add(judged);
  return score;
}

}  // namespace examples
