// SPDX-License-Identifier: Apache-2.0
// What describes a token: itself, the pairs with its two neighbours, and its inner letter groups.
//
//     x_i = E[word_i] + E[word_{i-1} word_i] + E[word_i word_{i+1}] + mean of E[letters of word_i]
//
// Letter groups (Bojanowski et al. 2017) give a vector to words that training has not seen; pairs
// let "not good" differ from "good". Pairs and letter groups that training has not seen are left
// out; the words that it has not seen, or too rarely, share row 0.
#pragma once

#include <cstddef>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "../support/embedding.hpp"
#include "../support/tokenizer.hpp"
#include "../support/utf8.hpp"
#include "../support/vocabulary.hpp"
#include "settings.hpp"

namespace examples {

/// The tokens of one text, each with its features, one after the other.
struct TokenFeatures {
  std::vector<Feature> features;
  std::vector<std::size_t> ends;  // of each token's features

  std::size_t size() const { return ends.size(); }
  std::span<const Feature> operator[](std::size_t i) const {
    const std::size_t begin = i == 0 ? 0 : ends[i - 1];
    return std::span(features).subspan(begin, ends[i] - begin);
  }
};

/// Groups of three to five letters of `<word>`; the marks tell a beginning and an end.
inline std::vector<std::string> letter_groups(const std::string& word) {
  const std::string marked = "<" + word + ">";
  std::vector<std::size_t> starts;
  for (std::size_t at = 0; at < marked.size();) {
    starts.push_back(at);
    const auto point = decode_utf8(std::string_view(marked).substr(at));
    at += point ? point->size : 1;
  }
  starts.push_back(marked.size());
  std::vector<std::string> groups;
  for (std::size_t size = 3; size <= 5; ++size) {
    for (std::size_t i = 0; i + size < starts.size(); ++i) {
      groups.push_back(marked.substr(starts[i], starts[i + size] - starts[i]));
    }
  }
  return groups;
}

class FeatureSpace {
 public:
  /// Everything that occurs in the training texts.
  FeatureSpace(const std::vector<std::vector<Token>>& texts, const FeatureOptions& options)
      : options_(options) {
    VocabularyBuilder words;
    for (const auto& tokens : texts) {
      for (std::size_t i = 0; i < tokens.size(); ++i) {
        words.count(tokens[i].word);
        if (options.pairs && i > 0) pairs_.add(tokens[i - 1].word + ' ' + tokens[i].word);
        if (!options.letters) continue;
        for (const std::string& group : letter_groups(tokens[i].word)) letters_.add(group);
      }
    }
    words_ = words.at_least(options.min_count);
  }

  explicit FeatureSpace(const nlohmann::json& saved)
      : options_{.digits_as_shapes = saved.at("digits_as_shapes"),
                 .pairs = saved.at("use_pairs"),
                 .letters = saved.at("use_letters"),
                 .min_count = saved.at("min_count")},
        words_(saved.at("words").get<std::vector<std::string>>()),
        pairs_(saved.at("pairs").get<std::vector<std::string>>()),
        letters_(saved.at("letters").get<std::vector<std::string>>()) {}

  nlohmann::json to_json() const {
    return {{"digits_as_shapes", options_.digits_as_shapes},
            {"use_pairs", options_.pairs},
            {"use_letters", options_.letters},
            {"min_count", options_.min_count},
            {"words", words_.words()},
            {"pairs", pairs_.words()},
            {"letters", letters_.words()}};
  }

  const FeatureOptions& options() const { return options_; }
  const Vocabulary& words() const { return words_; }

  /// Rows of the embedding: the unknown word, words, pairs, letter groups.
  Index rows() const { return first_letters() + letters_.size(); }
  Index word_row(Index number) const { return 1 + number; }
  Index first_pair() const { return 1 + words_.size(); }
  Index first_letters() const { return first_pair() + pairs_.size(); }

  std::vector<Token> tokens(const std::string& text) const {
    return tokenize(text, {.digits_as_shapes = options_.digits_as_shapes});
  }

  /// A text without any token is one unknown word, so that there is something to attend to.
  TokenFeatures features(const std::vector<Token>& tokens) const {
    TokenFeatures result;
    for (std::size_t i = 0; i < tokens.size(); ++i) {
      const std::string& word = tokens[i].word;
      const auto number = words_.find(word);
      result.features.push_back({number ? word_row(*number) : 0, 1});
      if (i > 0) add_pair(result, tokens[i - 1].word, word);
      if (i + 1 < tokens.size()) add_pair(result, word, tokens[i + 1].word);
      if (options_.letters) add_letters(result, word);
      result.ends.push_back(result.features.size());
    }
    if (tokens.empty()) result = {{{0, 1}}, {1}};
    return result;
  }

 private:
  static void add(TokenFeatures& result, const Vocabulary& vocabulary, Index first,
                  const std::string& key) {
    if (const auto found = vocabulary.find(key)) result.features.push_back({first + *found, 1});
  }

  void add_pair(TokenFeatures& result, const std::string& left, const std::string& right) const {
    if (options_.pairs) add(result, pairs_, first_pair(), left + ' ' + right);
  }

  void add_letters(TokenFeatures& result, const std::string& word) const {
    const std::size_t begin = result.features.size();
    for (const std::string& group : letter_groups(word)) {
      add(result, letters_, first_letters(), group);
    }
    const float share = 1 / static_cast<float>(result.features.size() - begin);
    for (std::size_t f = begin; f < result.features.size(); ++f) result.features[f].weight = share;
  }

  FeatureOptions options_;
  Vocabulary words_;
  Vocabulary pairs_;
  Vocabulary letters_;
};

}  // namespace examples
