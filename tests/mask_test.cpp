// SPDX-License-Identifier: Apache-2.0
// The rules of the masks and their verdicts of tiles.
#include <gtest/gtest.h>

#include <array>
#include <attn/attn.hpp>
#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

namespace {

using attn::Extent;
using attn::Index;
using attn::Position;
using attn::Tile;
using attn::Verdict;

/// Rows of queries with 'x' for the keys that are permitted.
template <class Mask>
std::string picture(const Mask& mask, Index n_q, Index n_k, Index batch = 0) {
  std::string lines;
  for (Index i = 0; i < n_q; ++i) {
    for (Index j = 0; j < n_k; ++j)
      lines += mask.permits(Position{batch, 0, i, j}, Extent{n_q, n_k}) ? 'x' : '.';
    lines += i + 1 < n_q ? "|" : "";
  }
  return lines;
}

TEST(Causal, LetsNoQuerySeeTheFuture) {
  EXPECT_EQ(picture(attn::Causal{}, 3, 4), "x...|xx..|xxx.");
}

TEST(Causal, ReachesFurtherByItsOffset) {
  EXPECT_EQ(picture(attn::Causal{.offset = 1}, 3, 4), "xx..|xxx.|xxxx");
  EXPECT_EQ(picture(attn::Causal{.offset = -1}, 3, 4), "....|x...|xx..");
}

TEST(Causal, AlignedToTheBottomRightLetsTheLastQuerySeeTheLastKey) {
  EXPECT_EQ(picture(attn::Causal::bottom_right(), 2, 4), "xxx.|xxxx");
  EXPECT_EQ(picture(attn::Causal::bottom_right(), 4, 2), "..|..|x.|xx");
}

TEST(SlidingWindow, SeesItsSides) {
  EXPECT_EQ(picture(attn::SlidingWindow{1, 0}, 4, 4), "x...|xx..|.xx.|..xx");
  EXPECT_EQ(picture(attn::SlidingWindow{0, 1}, 3, 4), "xx..|.xx.|..xx");
}

TEST(SlidingWindow, IsOpenByDefault) {
  EXPECT_EQ(picture(attn::SlidingWindow{}, 2, 3), "xxx|xxx");
  EXPECT_EQ(picture(attn::SlidingWindow{.left = 0}, 2, 3), "xxx|.xx");
  EXPECT_EQ(picture(attn::SlidingWindow{.right = 0}, 2, 3), "x..|xx.");
}

TEST(SlidingWindow, MovesByItsOffset) {
  EXPECT_EQ(picture(attn::SlidingWindow{.left = 0, .right = 0, .offset = 1}, 2, 4), ".x..|..x.");
  EXPECT_EQ(picture(attn::SlidingWindow::bottom_right(1, 0), 2, 4), ".xx.|..xx");
}

TEST(PrefixLm, SeesThePrefixAndThePast) {
  EXPECT_EQ(picture(attn::PrefixLm{2}, 4, 4), "xx..|xx..|xxx.|xxxx");
}

TEST(KeyPadding, HidesKeysBehindTheLength) {
  EXPECT_EQ(picture(attn::KeyPadding{2}, 2, 4), "xx..|xx..");
  const attn::KeyPadding by_batch{{1, 3}};
  EXPECT_EQ(picture(by_batch, 1, 4, 0), "x...");
  EXPECT_EQ(picture(by_batch, 1, 4, 1), "xxx.");
}

TEST(KeyPadding, TakesLengthsInAnyForm) {
  EXPECT_EQ(picture(attn::KeyPadding{std::vector<int>{3}}, 1, 4), "xxx.");
  EXPECT_EQ(picture(attn::KeyPadding{Eigen::VectorXi{{3}}}, 1, 4), "xxx.");
  EXPECT_EQ(picture(attn::KeyPadding{std::array<std::int64_t, 1>{3}}, 1, 4), "xxx.");
}

TEST(Documents, SeeOnlyThemselves) {
  EXPECT_EQ(picture(attn::Documents{{1, 1, 2}, {1, 2, 2, 1}}, 3, 4), "x..x|x..x|.xx.");
}

TEST(DenseMask, PermitsWhereItIsTrue) {
  Eigen::Matrix<bool, 2, 3> M;
  M << true, false, true, false, false, true;
  EXPECT_EQ(picture(attn::DenseMask{M}, 2, 3), "x.x|..x");
  const bool row[] = {true, false, true};
  EXPECT_EQ(picture(attn::DenseMask{attn::bhtd(row, 1, 1, 1, 3)}, 2, 3), "x.x|x.x");
}

TEST(MaskMod, AsksTheUsersFunction) {
  const auto even = attn::mask_mod([](Position at) { return (at.query + at.key) % 2 == 0; });
  EXPECT_EQ(picture(even, 2, 4), "x.x.|.x.x");
}

TEST(Mask, ComposesWithAndOrNot) {
  EXPECT_EQ(picture(attn::Causal{} & attn::SlidingWindow{1, 0}, 3, 3), "x..|xx.|.xx");
  EXPECT_EQ(picture(attn::Causal{} | attn::PrefixLm{2}, 2, 3), "xx.|xx.");
  EXPECT_EQ(picture(!attn::Causal{}, 2, 3), ".xx|..x");
  const auto not_both = !(attn::Causal{} & attn::KeyPadding{1});
  EXPECT_EQ(picture(attn::KeyPadding{2} & not_both, 2, 3), ".x.|.x.");
}

Tile tile(Index first_query, Index last_query, Index first_key, Index last_key) {
  return {0, 0, first_query, last_query, first_key, last_key, Extent{16, 16}};
}

TEST(Verdict, OfCausalFollowsTheDiagonal) {
  EXPECT_EQ(attn::Causal{}.verdict(tile(0, 3, 4, 7)), Verdict::empty);
  EXPECT_EQ(attn::Causal{}.verdict(tile(0, 3, 3, 7)), Verdict::mixed);
  EXPECT_EQ(attn::Causal{}.verdict(tile(4, 7, 0, 3)), Verdict::full);
  EXPECT_EQ(attn::Causal{}.verdict(tile(4, 7, 0, 4)), Verdict::full);
  EXPECT_EQ(attn::Causal{}.verdict(tile(4, 7, 0, 5)), Verdict::mixed);
}

TEST(Verdict, OfAWindowIsEmptyOnBothSides) {
  const attn::SlidingWindow window{2, 1};
  EXPECT_EQ(window.verdict(tile(8, 9, 0, 5)), Verdict::empty);
  EXPECT_EQ(window.verdict(tile(8, 9, 0, 6)), Verdict::mixed);
  EXPECT_EQ(window.verdict(tile(8, 9, 11, 15)), Verdict::empty);
  EXPECT_EQ(window.verdict(tile(8, 9, 7, 9)), Verdict::full);
}

TEST(Verdict, OfBuiltInMasksIsNeverMixedWhereAllOrNoneIsPermitted) {
  EXPECT_EQ(attn::PrefixLm{4}.verdict(tile(0, 1, 0, 3)), Verdict::full);
  EXPECT_EQ(attn::PrefixLm{4}.verdict(tile(0, 1, 4, 7)), Verdict::empty);
  EXPECT_EQ(attn::KeyPadding{4}.verdict(tile(0, 1, 0, 3)), Verdict::full);
  EXPECT_EQ(attn::KeyPadding{4}.verdict(tile(0, 1, 4, 7)), Verdict::empty);
  const attn::Documents ids{{1, 1, 2, 2}, {1, 1, 2, 2}};
  EXPECT_EQ(ids.verdict(tile(0, 1, 0, 1)), Verdict::full);
  EXPECT_EQ(ids.verdict(tile(0, 1, 2, 3)), Verdict::empty);
  EXPECT_EQ(ids.verdict(tile(0, 3, 0, 1)), Verdict::mixed);
  const Eigen::Matrix<bool, 4, 4> M = Eigen::Matrix<bool, 4, 4>::Identity();
  EXPECT_EQ(attn::DenseMask{M}.verdict(tile(0, 1, 2, 3)), Verdict::empty);
  EXPECT_EQ(attn::DenseMask{M}.verdict(tile(2, 2, 2, 2)), Verdict::full);
  EXPECT_EQ(attn::DenseMask{M}.verdict(tile(0, 3, 0, 3)), Verdict::mixed);
}

/// f(first, last) for every range within 0..n-1.
template <class F>
void for_ranges(Index n, F&& f) {
  for (Index first = 0; first < n; ++first)
    for (Index last = first; last < n; ++last) f(first, last);
}

/// Every rectangle of 12 x 10 pairs, in two batches and heads.
template <class Mask>
void expect_exact_verdicts(const char* name, const Mask& mask) {
  const Extent extent{12, 10};
  for_ranges(extent.n_q, [&](Index q0, Index q1) {
    for_ranges(extent.n_k, [&](Index k0, Index k1) {
      for (Index b = 0; b < 2; ++b)
        for (Index h = 0; h < 2; ++h) {
          Index permitted = 0;
          for (Index i = q0; i <= q1; ++i)
            for (Index j = k0; j <= k1; ++j) permitted += mask.permits({b, h, i, j}, extent);
          const bool all = permitted == (q1 - q0 + 1) * (k1 - k0 + 1);
          EXPECT_EQ(mask.verdict({b, h, q0, q1, k0, k1, extent}), permitted == 0 ? Verdict::empty
                                                                  : all          ? Verdict::full
                                                                                 : Verdict::mixed)
              << name << ": queries " << q0 << " to " << q1 << ", keys " << k0 << " to " << k1;
        }
    });
  });
}

TEST(Verdict, OfBuiltInMasksIsExactForEveryRectangle) {
  expect_exact_verdicts("causal", attn::Causal{});
  expect_exact_verdicts("causal with offset", attn::Causal{.offset = -3});
  expect_exact_verdicts("causal at the bottom right", attn::Causal::bottom_right());
  expect_exact_verdicts("window", attn::SlidingWindow{2, 1});
  expect_exact_verdicts("diagonal", attn::SlidingWindow{0, 0});
  expect_exact_verdicts("window open to the left", attn::SlidingWindow{-1, 2, 3});
  expect_exact_verdicts("window at the bottom right", attn::SlidingWindow::bottom_right(3, -1));
  expect_exact_verdicts("prefix", attn::PrefixLm{4});
  expect_exact_verdicts("padding", attn::KeyPadding{{3, 7}});
}

TEST(Verdict, OfDocumentsIsExactForEveryRectangle) {
  expect_exact_verdicts("sorted", attn::Documents{{0, 0, 0, 1, 1, 2, 2, 2, 4, 4, 4, 5},
                                                  {0, 0, 1, 1, 3, 3, 3, 4, 5, 5}});
  expect_exact_verdicts("without order", attn::Documents{{2, 0, 0, 1, 1, 2, 2, 9, 9, -3, 1, 1},
                                                         {1, 1, -3, 0, 2, 2, 9, 1, 1, 2}});
  expect_exact_verdicts("one each", attn::Documents{{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11},
                                                    {9, 8, 7, 6, 5, 4, 3, 2, 1, 0}});
  expect_exact_verdicts("one for all", attn::Documents{std::vector<int>(12), std::vector<int>(10)});
}

TEST(Verdict, OfADenseMaskIsExactForEveryLayout) {
  std::array<bool, 4 * 12 * 10> bits{};
  for (std::size_t k = 0; k < bits.size(); ++k) bits[k] = k % 7 < 5 || k > 300;
  const bool* data = bits.data();
  using View = attn::TensorView<const bool>;
  expect_exact_verdicts("keys contiguous", attn::DenseMask{attn::bhtd(data, 2, 2, 12, 10)});
  expect_exact_verdicts("queries contiguous",
                        attn::DenseMask{View(data, {2, 2, 12, 10}, {240, 120, 1, 12})});
  expect_exact_verdicts("neither", attn::DenseMask{View(data, {2, 1, 12, 10}, {1, 0, 4, 40})});
  expect_exact_verdicts("backwards", attn::DenseMask{View(data + 479, {1, 2, 12, 10},  //
                                                          {0, -120, -10, -1})});
  expect_exact_verdicts("one row", attn::DenseMask{attn::bhtd(data, 2, 1, 1, 10)});
  expect_exact_verdicts("one column", attn::DenseMask{attn::bhtd(data, 1, 2, 12, 1)});
  expect_exact_verdicts("one", attn::DenseMask{attn::bhtd(data, 1, 1, 1, 1)});
}

TEST(Verdict, OfDocumentsDoesNotTakeLongerForMoreKeys) {
  const Index n = Index(1) << 20, length = 1 << 15;
  std::vector<Index> ids;
  for (Index k = 0; k < n; ++k) ids.push_back(k / length);
  const attn::Documents documents{ids, ids};
  const auto seconds = [&](Index keys) {
    const auto start = std::chrono::steady_clock::now();
    for (Index i = 0; i < n; i += 256)
      EXPECT_EQ(documents.verdict({0, 0, i, i + 255, 0, keys - 1, Extent{n, n}}),
                i < keys ? (keys > length ? Verdict::mixed : Verdict::full) : Verdict::empty);
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  };
  // A loop over the keys would take 32 times as long; no machine is that noisy in its best of five.
  double few = 1e9, many = 1e9;
  for (int round = 0; round < 5; ++round) {
    few = std::min(few, seconds(length));
    many = std::min(many, seconds(n));
  }
  EXPECT_TRUE(many < 10 * few) << many << " and " << few << " s";
}

TEST(Verdict, OfAUsersMaskIsMixed) {
  const auto all = attn::mask_mod([](Position) { return true; });
  EXPECT_EQ(all.verdict(tile(0, 3, 0, 3)), Verdict::mixed);
}

}  // namespace
