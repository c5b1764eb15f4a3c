// SPDX-License-Identifier: Apache-2.0
// The recommendation example: files, histories, what is held back, baselines, ranks, the made-up
// catalogue.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "../examples/recommendation/baselines.hpp"
#include "../examples/recommendation/catalogue.hpp"
#include "../examples/recommendation/made_up_catalogue.hpp"
#include "../examples/recommendation/ratings_file.hpp"
#include "../examples/support/ranking.hpp"
#include "support/temporary.hpp"

namespace examples {
namespace {

using support::temporary_path;

Catalogue read(const std::string& text) {
  const std::string path = temporary_path("ratings.txt");
  write_file(path, text);
  return read_ratings(path, Encoding::kUtf8);
}

/// The sentence behind the path, or that there is none.
std::string refusal(const std::string& text) {
  try {
    read(text);
  } catch (const DataError& error) {
    return std::string(error.what()).substr(temporary_path("ratings.txt").size());
  }
  return "no error";
}

TEST(Rank, CountsBetterAndEqualCandidates) {
  constexpr float kLeftOut = -std::numeric_limits<float>::infinity();
  Vector scores(6);
  scores << 3, 1, 2, 2, kLeftOut, 2;
  const Rank rank = rank_of(scores, 3);
  EXPECT_EQ(rank.better, 1);
  EXPECT_EQ(rank.equal, 2);
}

TEST(RankingMetrics, AreThoseOfAHandMadeTable) {
  RankingMetrics metrics(3);
  EXPECT_EQ(metrics.hit_rate(), 0);
  metrics.add({.better = 0});  // rank 1: gain 1
  metrics.add({.better = 2});  // rank 3: gain 1 / log2(4)
  metrics.add({.better = 3});  // rank 4: none
  EXPECT_EQ(metrics.count(), 3);
  EXPECT_NEAR(metrics.hit_rate(), 2.0 / 3, 1e-12);
  EXPECT_NEAR(metrics.ndcg(), (1 + 0.5) / 3, 1e-12);
}

TEST(RankingMetrics, TakeTheMeanOverTheOrdersOfEqualScores) {
  RankingMetrics metrics(2);
  metrics.add({.better = 1, .equal = 3});  // ranks 2 to 5, each as likely
  EXPECT_NEAR(metrics.hit_rate(), 0.25, 1e-12);
  EXPECT_NEAR(metrics.ndcg(), 0.25 / std::log2(3.0), 1e-12);
}

TEST(RatingsFile, ReadsEachSeparatorWithAndWithoutHeader) {
  for (const std::string text : {"u1,a,5,10\nu1,b,4,20\nu2,a,3,5\n",
                                 "user,item,rating,timestamp\nu1,a,5,10\nu1,b,4,20\nu2,a,3,5",
                                 "u1\ta\t5\t10\r\nu1\tb\t4\t20\r\nu2\ta\t3\t5\r\n",
                                 "u1::a::5::10\n\nu1::b::4::20\nu2::a::3::5\n",
                                 "\"u1\",\"a\",5,1e1\nu1,b,4.5,20\nu2,a,-3,5\n"}) {
    const Catalogue catalogue = read(text);
    EXPECT_EQ(catalogue.items.words(), (std::vector<std::string>{"a", "b"})) << text;
    EXPECT_EQ(catalogue.titles, catalogue.items.words());
    ASSERT_EQ(catalogue.histories.size(), 2u) << text;
    EXPECT_EQ(catalogue.histories[0].user, "u1");
    EXPECT_EQ(catalogue.histories[0].items, (std::vector<Index>{0, 1}));
    EXPECT_EQ(catalogue.ratings(), 3u);
  }
}

TEST(RatingsFile, SaysWhichLineIsBad) {
  EXPECT_EQ(refusal(""), ": the file holds no rating.");
  EXPECT_EQ(refusal("user,item,rating,timestamp\n"), ": the file holds no rating.");
  EXPECT_EQ(
      refusal("u,a,5,1\nu,b,5\n"),
      ":2: this line has 3 fields, and the four user, item, rating and timestamp are needed.");
  EXPECT_EQ(refusal("u::a::5::1\nu\n"),
            ":2: this line has 1 field, and the four user, item, rating and timestamp are needed.");
  EXPECT_EQ(refusal("u,a,5,1\n,b,5,1\n"), ":2: the user of this line is empty.");
  EXPECT_EQ(refusal("u,,5,1\n"), ":1: the item of this line is empty.");
  EXPECT_EQ(refusal("u,a,5,1\nu,b,good,1\n"), ":2: the rating 'good' is not a number.");
  EXPECT_EQ(refusal("u,a,\x1B[2J,1\n"), ":1: the rating '?[2J' is not a number.");
  EXPECT_EQ(refusal("u,a,5,yesterday\n"), ":1: the timestamp 'yesterday' is not a number.");
  EXPECT_EQ(refusal("u,a,5,nan\n"), ":1: the timestamp 'nan' is not a number.");
  EXPECT_EQ(refusal("u,a,5,1\nu,b,5,1e999\n"), ":2: the timestamp '1e999' is not a number.");
  EXPECT_EQ(refusal("u,\"a,5,1\n"), ":1: a quoted field that starts here is never closed.");
}

TEST(TitlesFile, NamesItemsAndIgnoresOthers) {
  Catalogue catalogue = read("u,1,5,1\nu,2,5,2\n");
  const std::string path = temporary_path("titles.txt");
  const auto refused = [&](const std::string& text) -> std::string {
    write_file(path, text);
    try {
      read_titles(path, Encoding::kUtf8, catalogue);
    } catch (const DataError& error) {
      return std::string(error.what()).substr(path.size());
    }
    return "no error";
  };
  for (const std::string text : {"1::Ann, the film (1999)::Drama|War\n9::Other::x\n",
                                 "id,title,genres\n1,\"Ann, the film (1999)\",Drama|War\n",
                                 "1|Ann, the film (1999)|01-Jan\n"}) {
    catalogue.titles = catalogue.items.words();
    EXPECT_EQ(refused(text), "no error") << text;
    EXPECT_EQ(catalogue.titles, (std::vector<std::string>{"Ann, the film (1999)", "2"})) << text;
  }
  EXPECT_EQ(refused("1,a\n2\n"),
            ":2: this line has one field, and an item and its title are needed.");
  EXPECT_EQ(refused("8,a\n"), ": none of the titles is that of an item that was rated.");
}

TEST(Catalogue, PutsHistoriesInOrderOfTimeAndItemsOnce) {
  const Catalogue catalogue = catalogue_of(
      "test", {{"u", "late", 9}, {"u", "x", 5}, {"u", "y", 5}, {"u", "early", 1}, {"u", "x", 99}});
  std::vector<std::string> names;
  for (const Index item : catalogue.histories.front().items)
    names.push_back(catalogue.items.word(item));
  EXPECT_EQ(names, (std::vector<std::string>{"early", "x", "y", "late"}));
}

TEST(Split, HoldsBackTheLastTwoItemsOfLongHistories) {
  std::vector<Rating> ratings;
  for (const char* item : {"a", "b", "c", "d"})
    ratings.push_back({"long", item, static_cast<double>(ratings.size())});
  ratings.push_back({"short", "a", 0});
  ratings.push_back({"short", "c", 1});
  const Catalogue catalogue = catalogue_of("r.csv", ratings);
  const Split split(catalogue, 4);
  EXPECT_EQ(split.judged(), (std::vector<std::size_t>{0}));
  const auto training = split.training();
  EXPECT_EQ(training[0].size(), 2u);
  EXPECT_EQ(training[1].size(), 2u);
  ASSERT_EQ(split.validation().size(), 1u);
  EXPECT_EQ(split.validation()[0].known.size(), 2u);
  EXPECT_EQ(split.validation()[0].next, 2);
  EXPECT_EQ(split.test()[0].known.size(), 3u);
  EXPECT_EQ(split.test()[0].next, 3);
  try {
    const Split none(catalogue, 5);
    ADD_FAILURE() << "there is nothing to judge";
  } catch (const DataError& error) {
    EXPECT_STREQ(error.what(),
                 "r.csv: no user has 5 ratings or more, so there is nothing to test with.");
  }
}

/// Three users: 0 and 1 together twice, 2 after 1.
struct ThreeUsers {
  std::vector<Index> a = {0, 1, 2}, b = {1, 0}, c = {1, 2};
  Histories histories{a, b, c};
};

TEST(Popularity, CountsUsers) {
  EXPECT_EQ(popularity(ThreeUsers().histories, 4), Eigen::Vector4f(2, 3, 2, 0));
}

TEST(CoOccurrence, SumsCosinesOverTheHistory) {
  const ThreeUsers users;
  const CoOccurrence model(users.histories, 4);
  const std::vector<Index> known = {0, 1};
  // n_0 = 2, n_1 = 3, n_2 = 2; together: 0 and 2 once, 1 and 2 twice.
  const Vector scores = model.scores(known);
  EXPECT_NEAR(scores(2), 1 / 2.f + 2 / std::sqrt(6.f), 1e-6f);
  EXPECT_EQ(scores(3), 0.f);
}

TEST(LastItem, CountsWhatCameRightAfter) {
  const ThreeUsers users;
  const LastItem model(users.histories, 4);
  const Vector scores = model.scores(std::vector<Index>{0, 1});
  EXPECT_GT(scores(2), scores(0));  // twice and once
  EXPECT_GT(scores(0), 1.f);
  EXPECT_LT(scores(1), 1.f);  // never, so its popularity decides
  EXPECT_GT(scores(1), scores(3));
}

TEST(MadeUpCatalogue, NextItemsFollowTheRule) {
  const Catalogue catalogue = MadeUpCatalogue(3).catalogue(200);
  EXPECT_EQ(catalogue.items.size(), MadeUpCatalogue::kItems);
  Index foretold = 0, count = 0;
  for (const History& history : catalogue.histories) {
    const std::set<Index> different(history.items.begin(), history.items.end());
    EXPECT_EQ(different.size(), history.items.size());
    for (std::size_t t = 1; t < history.items.size(); ++t) {
      const Vector scores = MadeUpCatalogue::scores_of_the_rule(std::span(history.items).first(t));
      foretold += scores(history.items[t]) == 2 ? 1 : 0;
      ++count;
    }
  }
  // Every part goes on with probability 0.8 unless it is the last of ten; new genres come early.
  const double share = static_cast<double>(foretold) / static_cast<double>(count);
  EXPECT_GT(share, 0.45);
  EXPECT_LT(share, 0.85);
}

TEST(MadeUpCatalogue, KnowsThePlacesThatDecide) {
  constexpr Index kGenre = MadeUpCatalogue::kSeries * MadeUpCatalogue::kParts;
  const std::vector<Index> known = {0, kGenre, 1, kGenre + 1, 2};
  EXPECT_EQ(MadeUpCatalogue::deciding_places(known), (std::vector<Index>{4, 3}));
  const Vector scores = MadeUpCatalogue::scores_of_the_rule(known);
  EXPECT_EQ(scores(3), 2.f);
  EXPECT_EQ(scores(kGenre + 2), 2.f);
  EXPECT_EQ(scores(MadeUpCatalogue::kParts), 1.f);  // another series of the first genre
  EXPECT_EQ(scores(4), 0.f);
  EXPECT_EQ(scores(2 * kGenre), 0.f);  // no genre of this user
}

TEST(MadeUpCatalogue, IsThatOfItsSeed) {
  const auto items = [](std::uint64_t seed) {
    return MadeUpCatalogue(seed).catalogue(1).histories.front().items;
  };
  EXPECT_EQ(items(1), items(1));
  EXPECT_NE(items(1), items(2));
}

TEST(MovieTweetings, HasTheCountsOfItsDescription) {
  const std::string data = ATTN_DATA_DIR;
  if (data.empty()) GTEST_SKIP() << "ATTN_DATA_DIR names no folder of data sets.";
  const std::string path = data + "/movietweetings/";
  Catalogue catalogue = read_ratings(path + "ratings.dat", Encoding::kUtf8);
  EXPECT_EQ(catalogue.ratings(), 50000u);
  EXPECT_EQ(catalogue.histories.size(), 10455u);
  EXPECT_EQ(catalogue.items.size(), 7505);
  EXPECT_EQ(Split(catalogue, 5).judged().size(), 2706u);
  read_titles(path + "movies.dat", Encoding::kUtf8, catalogue);
  const Index matrix = *catalogue.items.find("0133093");
  EXPECT_EQ(catalogue.titles[static_cast<std::size_t>(matrix)], "The Matrix (1999)");
}

}  // namespace
}  // namespace examples
