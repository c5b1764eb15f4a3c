// SPDX-License-Identifier: Apache-2.0
// What there is to learn from: sources with one right target or several, divided in three.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "../support/hash.hpp"
#include "../support/tokenizer.hpp"
#include "../support/utf8.hpp"

namespace examples {

using Tokens = std::vector<std::string>;

/// What a token is. Phonemes are words here: blanks stand between them.
enum class Unit { kCharacters, kWords };

/// One side of a pair as tokens; words are lower-cased, and marks stand alone.
inline Tokens split_tokens(std::string_view text, Unit unit) {
  Tokens tokens;
  if (unit == Unit::kWords) {
    for (Token& token : tokenize(text)) tokens.push_back(std::move(token.word));
    return tokens;
  }
  while (!text.empty()) {
    const auto point = decode_utf8(text);
    const std::size_t size = point ? point->size : 1;
    tokens.emplace_back(text.substr(0, size));
    text.remove_prefix(size);
  }
  return tokens;
}

inline std::string join_tokens(const Tokens& tokens, Unit unit) {
  std::string text;
  for (const std::string& token : tokens) {
    if (unit == Unit::kWords && !text.empty()) text += ' ';
    text += token;
  }
  return text;
}

struct Item {
  Tokens source;
  std::vector<Tokens> targets;  // each of them right
};

struct Units {
  Unit source = Unit::kCharacters;
  Unit target = Unit::kCharacters;
};

struct PairData {
  Units units;
  std::vector<Item> train;
  std::vector<Item> validation;
  std::vector<Item> test;
  std::size_t too_long = 0;  // sources that were left out
};

/// A tenth tests, and a twentieth of the rest validates. The source alone says where an item goes,
/// so that it stays there when the file grows.
inline PairData divided(std::vector<Item> items, Units units) {
  PairData data{units, {}, {}, {}, 0};
  for (Item& item : items) {
    const std::uint64_t hash = fnv1a(join_tokens(item.source, units.source));
    if (hash % 10 == 0)
      data.test.push_back(std::move(item));
    else if (hash / 10 % 20 == 0)
      data.validation.push_back(std::move(item));
    else
      data.train.push_back(std::move(item));
  }
  return data;
}

}  // namespace examples
