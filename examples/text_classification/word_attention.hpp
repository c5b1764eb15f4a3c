// SPDX-License-Identifier: Apache-2.0
// What the attention of many texts says of single words and of planted key words.
#pragma once

#include <algorithm>
#include <cstddef>
#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "../support/tokenizer.hpp"
#include "corpus.hpp"

namespace examples {

/// A word and its mean attention; 1 is an even share, 1 / length of the text.
struct AttendedWord {
  std::string word;
  double attention = 0;
  int count = 0;
};

/// A weight counts relative to an even share, so that words of short texts get no advantage.
class WordAttention {
 public:
  /// One text and the class that the model gave to it.
  void add(const std::string& label, const std::vector<Token>& tokens,
           std::span<const float> weights) {
    for (std::size_t i = 0; i < tokens.size(); ++i) {
      Sum& sum = sums_[label][tokens[i].word];
      sum.attention += static_cast<double>(weights[i]) * static_cast<double>(tokens.size());
      ++sum.count;
    }
  }

  /// For each class the `size` words with the highest mean, highest first. A word must occur in the
  /// class `least` times, or half as often, and so on, until there are enough.
  std::map<std::string, std::vector<AttendedWord>> top(std::size_t size, int least = 4) const {
    std::map<std::string, std::vector<AttendedWord>> result;
    for (const auto& [label, words] : sums_) {
      std::vector<AttendedWord>& list = result[label];
      for (int count = least; list.size() < std::min(size, words.size()) && count > 0; count /= 2) {
        list = at_least(words, count);
      }
      list.resize(std::min(size, list.size()));
    }
    return result;
  }

 private:
  struct Sum {
    double attention = 0;
    int count = 0;
  };
  using Words = std::map<std::string, Sum>;

  static std::vector<AttendedWord> at_least(const Words& words, int count) {
    std::vector<AttendedWord> list;
    for (const auto& [word, sum] : words) {
      if (sum.count >= count) list.push_back({word, sum.attention / sum.count, sum.count});
    }
    std::stable_sort(list.begin(), list.end(), [](const AttendedWord& a, const AttendedWord& b) {
      return a.attention > b.attention;
    });
    return list;
  }

  std::map<std::string, Words> sums_;
};

/// How much of the attention falls on the words that decide, and how many of the words they are.
class KeyWordShare {
 public:
  void add(const LabelledText& text, std::span<const float> weights) {
    if (text.key_tokens.empty()) return;
    for (const std::size_t token : text.key_tokens)
      attention_ += static_cast<double>(weights[token]);
    words_ += static_cast<double>(text.key_tokens.size()) / static_cast<double>(weights.size());
    ++texts_;
  }

  bool is_known() const { return texts_ > 0; }
  double attention() const { return attention_ / std::max(texts_, 1); }
  double words() const { return words_ / std::max(texts_, 1); }

 private:
  double attention_ = 0;
  double words_ = 0;
  int texts_ = 0;
};

}  // namespace examples
