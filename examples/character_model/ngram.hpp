// SPDX-License-Identifier: Apache-2.0
// What can be told from the last few characters alone: the model that attention has to beat.
//
//     p(c | h) = (count(h c) + kinds(h) p(c | h')) / (count(h) + kinds(h))
//
// h are the last n - 1 characters, h' is h without its first, kinds(h) how many different
// characters have followed h; below the empty h all characters are equally likely.
// Source: Witten and Bell 1991, method C; interpolated as in Chen and Goodman 1999, section 2.4.
#pragma once

#include <cmath>
#include <cstddef>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "../support/matrix.hpp"

namespace examples {

class NgramModel {
 public:
  /// `order` is n: 2 looks at one character before (a bigram), 1 at none.
  NgramModel(std::span<const Index> text, Index characters, std::size_t order)
      : characters_(characters), followers_(order) {
    for (std::size_t at = 0; at < text.size(); ++at) {
      for (std::size_t before = 0; before < order && before <= at; ++before)
        followers_[before][key(text.subspan(at - before, before))].add(text[at]);
    }
  }

  double probability(std::span<const Index> before, Index character) const {
    double p = 1 / static_cast<double>(characters_);
    for (std::size_t length = 0; length < followers_.size() && length <= before.size(); ++length) {
      const auto found = followers_[length].find(key(before.last(length)));
      if (found == followers_[length].end()) break;
      p = found->second.mixed(character, p);
    }
    return p;
  }

  /// In nats a character, over all but the first.
  double mean_loss(std::span<const Index> text) const {
    double sum = 0;
    for (std::size_t at = 1; at < text.size(); ++at)
      sum -= std::log(probability(text.first(at), text[at]));
    return text.size() < 2 ? 0 : sum / static_cast<double>(text.size() - 1);
  }

 private:
  /// What followed a history, and how often.
  struct Followers {
    std::unordered_map<Index, double> counts;
    double total = 0;

    void add(Index character) {
      counts[character] += 1;
      total += 1;
    }
    double mixed(Index character, double shorter) const {
      const auto found = counts.find(character);
      const double count = found == counts.end() ? 0 : found->second;
      const auto kinds = static_cast<double>(counts.size());
      return (count + kinds * shorter) / (total + kinds);
    }
  };

  static std::u32string key(std::span<const Index> history) {
    std::u32string key;
    for (const Index character : history) key.push_back(static_cast<char32_t>(character));
    return key;
  }

  Index characters_;
  std::vector<std::unordered_map<std::u32string, Followers>> followers_;  // by length of history
};

}  // namespace examples
