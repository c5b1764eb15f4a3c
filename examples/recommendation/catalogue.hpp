// SPDX-License-Identifier: Apache-2.0
// Who took which item when: ratings, and what becomes of them: a history a user in the order of
// time, each item once.
#pragma once

#include <algorithm>
#include <cstddef>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "../support/data_error.hpp"
#include "../support/matrix.hpp"
#include "../support/vocabulary.hpp"

namespace examples {

/// A line of a file of ratings; how much the user liked the item is not used.
struct Rating {
  std::string user;
  std::string item;
  double time = 0;
};

struct History {
  std::string user;
  std::vector<Index> items;  // the oldest first
};

struct Catalogue {
  std::string source;  // what an error calls the data
  Vocabulary items;
  std::vector<std::string> titles;  // of the items
  std::vector<History> histories;   // in the order in which users come first in the data

  std::size_t ratings() const {
    std::size_t count = 0;
    for (const History& history : histories) count += history.items.size();
    return count;
  }
};

/// A repeated item counts at its first time. Equal times keep the order of the ratings.
inline Catalogue catalogue_of(std::string source, std::vector<Rating> ratings) {
  Catalogue catalogue{std::move(source), {}, {}, {}};
  Vocabulary users;
  for (const Rating& rating : ratings) {
    users.add(rating.user);
    catalogue.items.add(rating.item);
  }
  std::stable_sort(ratings.begin(), ratings.end(),
                   [](const Rating& a, const Rating& b) { return a.time < b.time; });
  catalogue.titles = catalogue.items.words();
  for (const std::string& user : users.words()) catalogue.histories.push_back({user, {}});
  std::vector<std::set<Index>> taken(catalogue.histories.size());
  for (const Rating& rating : ratings) {
    const auto user = static_cast<std::size_t>(*users.find(rating.user));
    const Index item = *catalogue.items.find(rating.item);
    if (taken[user].insert(item).second) catalogue.histories[user].items.push_back(item);
  }
  return catalogue;
}

/// Leave-last-out: the last item of a history is for the test, the one before for validation, all
/// before those for training. Shorter histories than `min_ratings` are for training altogether.
/// Source: Kang and McAuley 2018, section IV.A.
class Split {
 public:
  static constexpr Index kSmallestHistory = 3;  // an item to train on, one to validate, one to test

  Split(const Catalogue& catalogue, Index min_ratings) : catalogue_(catalogue) {
    for (std::size_t u = 0; u < catalogue.histories.size(); ++u)
      if (static_cast<Index>(catalogue.histories[u].items.size()) >= min_ratings)
        judged_.push_back(u);
    if (judged_.empty())
      throw DataError(catalogue.source, "no user has " + std::to_string(min_ratings) +
                                            " ratings or more, so there is nothing to test with.");
  }

  const Catalogue& catalogue() const { return catalogue_; }

  /// The numbers of the histories that are judged.
  const std::vector<std::size_t>& judged() const { return judged_; }

  /// What all models learn from, a list a user.
  std::vector<std::span<const Index>> training() const {
    std::vector<std::span<const Index>> parts;
    for (const History& history : catalogue_.histories) parts.emplace_back(history.items);
    for (const std::size_t u : judged_) parts[u] = parts[u].first(parts[u].size() - 2);
    return parts;
  }

  /// What is to be foretold, and what is known before.
  struct Question {
    std::span<const Index> known;
    Index next = 0;
  };
  /// One a judged history.
  std::vector<Question> validation() const { return questions(2); }
  std::vector<Question> test() const { return questions(1); }

 private:
  std::vector<Question> questions(std::size_t from_end) const {
    std::vector<Question> questions;
    for (const std::size_t u : judged_) {
      const std::span<const Index> items = catalogue_.histories[u].items;
      const auto known = items.first(items.size() - from_end);
      questions.push_back({known, items[known.size()]});
    }
    return questions;
  }

  const Catalogue& catalogue_;
  std::vector<std::size_t> judged_;
};

}  // namespace examples
