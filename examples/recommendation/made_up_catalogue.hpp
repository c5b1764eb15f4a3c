// SPDX-License-Identifier: Apache-2.0
// A made-up catalogue of series in genres, and users whose next choice hangs on the order of those
// before, so that it is known what could be foretold at best.
//
// A user likes a few genres and goes to and fro between them. In each there is one series that goes
// on, part after part; at its end, or when the user gets tired of it, another one of that genre
// begins with its first part. So the next item is the part after the latest one of some genre that
// the user likes: neither the last item alone nor the set of all items tells which that is.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <numeric>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "../support/matrix.hpp"
#include "../support/random.hpp"
#include "catalogue.hpp"

namespace examples {

class MadeUpCatalogue {
 public:
  static constexpr std::array<std::string_view, 6> kGenres = {"Western", "Crime",  "Comedy",
                                                              "Romance", "Horror", "Space"};
  static constexpr Index kSeries = 4;  // a genre
  static constexpr Index kParts = 10;  // a series
  static constexpr Index kItems = static_cast<Index>(kGenres.size()) * kSeries * kParts;

  static constexpr Index genre_of(Index item) { return item / (kSeries * kParts); }
  static constexpr Index part_of(Index item) { return item % kParts; }

  explicit MadeUpCatalogue(std::uint64_t seed) : random_(seed) {}

  Catalogue catalogue(Index users) {
    Catalogue result{"made-up catalogue", {}, {}, {}};
    for (Index item = 0; item < kItems; ++item) {
      result.items.add("item " + std::to_string(item + 1));
      result.titles.push_back(title(item));
    }
    for (Index u = 0; u < users; ++u)
      result.histories.push_back({std::to_string(u + 1), history()});
    return result;
  }

  /// The scores of one who knows the rule: highest for parts that go on in a genre of the history,
  /// then for first parts of those genres.
  static Vector scores_of_the_rule(std::span<const Index> known) {
    Vector scores = Vector::Zero(kItems);
    for (const Index place : deciding_places(known)) {
      const Index latest = known[static_cast<std::size_t>(place)];
      for (Index series = 0; series < kSeries; ++series)
        scores((genre_of(latest) * kSeries + series) * kParts) = 1;
      if (part_of(latest) + 1 < kParts) scores(latest + 1) = 2;
    }
    return scores;
  }

  /// Which places of a history decide what comes next: those of the latest item of each genre.
  static std::vector<Index> deciding_places(std::span<const Index> known) {
    std::array<Index, kGenres.size()> latest;
    latest.fill(-1);
    for (std::size_t t = 0; t < known.size(); ++t)
      latest[static_cast<std::size_t>(genre_of(known[t]))] = static_cast<Index>(t);
    std::vector<Index> places;
    std::copy_if(latest.begin(), latest.end(), std::back_inserter(places),
                 [](Index place) { return place >= 0; });
    return places;
  }

 private:
  static std::string title(Index item) {
    const Index series = item / kParts % kSeries;
    return std::string(kGenres[static_cast<std::size_t>(genre_of(item))]) + " " +
           static_cast<char>('A' + series) + " " + std::to_string(part_of(item) + 1);
  }

  /// A genre that a user likes, and how far the user has come in it.
  struct Taste {
    Index genre = 0;
    std::array<Index, kSeries> series{};  // in the order in which the user takes them
    std::size_t begun = 0;
    Index latest = -1;
  };

  std::vector<Taste> tastes() {
    std::array<Index, kGenres.size()> genres;
    std::iota(genres.begin(), genres.end(), Index{0});
    random_.shuffle(genres);
    std::vector<Taste> tastes(3 + random_.below(2));
    for (std::size_t i = 0; i < tastes.size(); ++i) {
      tastes[i].genre = genres[i];
      std::iota(tastes[i].series.begin(), tastes[i].series.end(), Index{0});
      random_.shuffle(tastes[i].series);
    }
    return tastes;
  }

  /// Ends early for one who has begun all series of a genre and wants another.
  std::vector<Index> history() {
    std::vector<Taste> tastes = this->tastes();
    const std::size_t length = 12 + random_.below(19);
    std::vector<Index> items;
    while (items.size() < length && advance(tastes[random_.below(tastes.size())]))
      items.push_back(latest_);
    return items;
  }

  /// Goes to the next part of the series, or to the first one of the next series.
  bool advance(Taste& taste) {
    constexpr float kTired = 0.2f;
    const bool goes_on =
        taste.latest >= 0 && part_of(taste.latest) + 1 < kParts && random_.uniform() >= kTired;
    if (!goes_on && taste.begun == taste.series.size()) return false;
    taste.latest =
        goes_on ? taste.latest + 1 : (taste.genre * kSeries + taste.series[taste.begun++]) * kParts;
    latest_ = taste.latest;
    return true;
  }

  Random random_;
  Index latest_ = -1;  // of any genre
};

}  // namespace examples
