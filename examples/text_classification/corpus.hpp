// SPDX-License-Identifier: Apache-2.0
// Labelled texts, and the ways to divide them: a first part, random folds, a tenth for validation.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "../support/data_error.hpp"
#include "../support/matrix.hpp"
#include "../support/random.hpp"

namespace examples {

struct LabelledText {
  std::string label;
  std::string text;
  std::string file{};                     // where it comes from, for messages
  std::size_t line = 0;                   // from 1
  std::vector<std::size_t> key_tokens{};  // which tokens decide the label, where that is known
};

using Texts = std::vector<LabelledText>;

struct Division {
  Texts train;
  Texts test;
};

/// The first `fraction` of the texts trains, the rest tests, in the order of the file.
inline Division divide_in_order(const Texts& texts, double fraction) {
  const auto cut = static_cast<std::ptrdiff_t>(fraction * static_cast<double>(texts.size()));
  return {{texts.begin(), texts.begin() + cut}, {texts.begin() + cut, texts.end()}};
}

/// Fold `fold` of `folds` tests, the others train. The seed alone decides who is in which fold.
inline Division divide_by_fold(const Texts& texts, std::size_t fold, std::size_t folds,
                               std::uint64_t seed) {
  std::vector<std::size_t> order(texts.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  Random(seed).shuffle(order);
  Division division;
  for (std::size_t i = 0; i < order.size(); ++i) {
    (i % folds == fold ? division.test : division.train).push_back(texts[order[i]]);
  }
  return division;
}

/// Moves a share of every class, but never a whole class, from `train` to the returned texts.
inline Texts take_validation(Texts& train, double share, std::uint64_t seed) {
  Random random(seed);
  random.shuffle(train);
  std::stable_sort(train.begin(), train.end(),
                   [](const LabelledText& a, const LabelledText& b) { return a.label < b.label; });
  Texts kept, taken;
  for (std::size_t first = 0; first < train.size();) {
    std::size_t end = first;
    while (end < train.size() && train[end].label == train[first].label) ++end;
    const auto count =
        static_cast<std::size_t>(std::lround(share * static_cast<double>(end - first)));
    for (std::size_t i = first; i < end; ++i) {
      (i - first < std::min(count, end - first - 1) ? taken : kept).push_back(std::move(train[i]));
    }
    first = end;
  }
  train = std::move(kept);
  return taken;
}

/// The labels that occur, sorted. Fewer than two cannot be told apart.
inline std::vector<std::string> class_names(const Texts& train) {
  std::set<std::string> labels;
  for (const LabelledText& text : train) labels.insert(text.label);
  if (labels.size() >= 2) return {labels.begin(), labels.end()};
  const std::string file = train.empty() ? "training data" : train.front().file;
  throw DataError(file, labels.empty() ? "there is no text to train with."
                                       : "every text has the class '" + *labels.begin() +
                                             "'; a classifier needs at least two classes.");
}

/// The number of a text's class; a class that training has not seen is an error with its line.
inline Index class_number(const std::vector<std::string>& classes, const LabelledText& text) {
  const auto found = std::lower_bound(classes.begin(), classes.end(), text.label);
  if (found != classes.end() && *found == text.label) return found - classes.begin();
  throw DataError(text.file, text.line,
                  "the class '" + text.label + "' has no example in the training data.");
}

}  // namespace examples
