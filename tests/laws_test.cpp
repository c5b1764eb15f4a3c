// SPDX-License-Identifier: Apache-2.0
// Laws that hold for every part: the scalar rule is the pack's, a verdict agrees with the pairs of
// its tile, and attention does not depend on the order of keys or on how it is cut.
#include <gtest/gtest.h>

#include <algorithm>
#include <attn/attn.hpp>
#include <limits>
#include <random>
#include <utility>

#include "support/compare.hpp"
#include "support/problem.hpp"

namespace {

using attn::Extent;
using attn::Index;
using attn::Position;
using attn::Tile;
using attn::Verdict;
using Eigen::MatrixXd;
using support::Problem;

constexpr Extent extent{12, 10};

template <class A>
constexpr Index width = attn::engine::Pack<A>::width;

/// apply() of a pack is apply() of each of its lanes; lanes past the last query are nobody's.
template <class A, class Part>
void expect_pack_rule(const Part& part, double tolerance) {
  using P = attn::engine::Pack<A>;
  A lanes[std::size_t(width<A>)];
  for (Index first = 0; first < extent.n_q; ++first)
    for (Index j = 0; j < extent.n_k; ++j) {
      const Index count = std::min(width<A>, extent.n_q - first);
      for (Index l = 0; l < width<A>; ++l)
        lanes[l] = static_cast<A>(0.37 * double(l + first) - 0.2 * double(j));
      const P values = P::load(lanes);
      const attn::engine::PackPosition<A> at{0, 1, P::first_and_up(A(first)), j, first, count};
      part.apply(values, at, extent).store(lanes);
      A expected[std::size_t(width<A>)];
      values.store(expected);
      for (Index l = 0; l < count; ++l) {
        const A by_scalar = part.apply(expected[l], Position{0, 1, first + l, j}, extent);
        EXPECT_TRUE(support::distance(double(lanes[l]), double(by_scalar)) <= tolerance)
            << "query " << first + l << ", key " << j << ": " << lanes[l] << " and " << by_scalar;
      }
    }
}

template <class Part>
void expect_pack_rules(const Part& part) {
  expect_pack_rule<float>(part, 1e-6);
  expect_pack_rule<double>(part, 1e-14);
}

TEST(PackRule, OfABuiltInPartIsItsScalarRule) {
  expect_pack_rules(attn::Softcap{1.5});
  expect_pack_rules(attn::Alibi{Eigen::VectorXd{{0.1, 0.2}}});
  expect_pack_rules(attn::Alibi{.slopes = 0.3, .offset = 2});
  expect_pack_rules(attn::Alibi::bottom_right(0.3));
  expect_pack_rules(attn::Dropout{.p = 0.4, .seed = 3});
}

TEST(PackRule, OfAPartWithAMatrixIsItsScalarRule) {
  MatrixXd B = support::random(12, 10, 2);
  B(3, 4) = -std::numeric_limits<double>::infinity();
  expect_pack_rule<double>(attn::DenseBias{B}, 0);
  using RowMajor = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  const RowMajor rows = B;
  expect_pack_rule<double>(attn::DenseBias{Eigen::Map<const RowMajor>(rows.data(), 12, 10)}, 0);
  expect_pack_rule<double>(attn::DenseBias{attn::bhtd<const double>(B.data(), 1, 2, 1, 10)}, 0);
  expect_pack_rule<float>(attn::DenseBias{Eigen::MatrixXf(B.cast<float>())}, 0);
  expect_pack_rule<double>(attn::RelativePositionBias{support::random(8, 2, 3)}, 0);
}

TEST(PackRule, OfAUsersFunctionIsItsScalarRule) {
  expect_pack_rules(attn::score_mod([](auto s, Position at) { return s * double(at.key); }));
  expect_pack_rules(attn::score_mod([](auto s, auto at) {
    const decltype(s) key = static_cast<decltype(s)>(at.key);
    return attn::math::max(s, 0.5) + attn::math::tanh(at.query - key);
  }));
  expect_pack_rules(attn::score_mod(
      [](auto s, auto at, auto a) { return attn::math::select(at.query < 5, s, a * s); }, 0.5));
  expect_pack_rules(attn::prob_mod([](auto p, auto at) { return p * p - p / (at.query + 1); }));
}

/// The verdict of every tile of a small grid, in every head and batch, against all of its pairs.
template <class Mask>
void expect_verdicts(const Mask& mask, bool is_exact = true) {
  const auto for_ranges = [](Index n, auto f) {
    for (Index first = 0; first < n; ++first)
      for (Index last = first; last < n; ++last) f(first, last);
  };
  for_ranges(extent.n_q, [&](Index q0, Index q1) {
    for_ranges(extent.n_k, [&](Index k0, Index k1) {
      Index permitted = 0;
      for (Index i = q0; i <= q1; ++i)
        for (Index j = k0; j <= k1; ++j) permitted += mask.permits({0, 0, i, j}, extent) ? 1 : 0;
      const Index pairs = (q1 - q0 + 1) * (k1 - k0 + 1);
      const Verdict truth = permitted == 0       ? Verdict::empty
                            : permitted == pairs ? Verdict::full
                                                 : Verdict::mixed;
      const Verdict verdict = mask.verdict(Tile{0, 0, q0, q1, k0, k1, extent});
      if (verdict == truth || (!is_exact && verdict == Verdict::mixed)) return;
      ADD_FAILURE() << "queries " << q0 << " to " << q1 << ", keys " << k0 << " to " << k1
                    << ": verdict " << int(verdict) << " and should be " << int(truth);
    });
  });
}

TEST(Verdict, OfCausalAndWindowIsExact) {
  expect_verdicts(attn::Causal{});
  expect_verdicts(attn::Causal{.offset = 3});
  expect_verdicts(attn::Causal{.offset = -4});
  expect_verdicts(attn::Causal::bottom_right());
  expect_verdicts(attn::KeyPadding{6});
}

TEST(Verdict, OfOtherMasksIsNeverWrong) {
  // Their empty is exact on rectangles that are wide enough; a small one between may be mixed.
  expect_verdicts(attn::SlidingWindow{2, 1}, false);
  expect_verdicts(attn::SlidingWindow{0, 0}, false);
  expect_verdicts(attn::SlidingWindow{-1, 2}, false);
  expect_verdicts(attn::SlidingWindow::bottom_right(3, -1), false);
  expect_verdicts(attn::PrefixLm{4}, false);
  expect_verdicts(
      attn::Documents{{0, 0, 0, 1, 1, 2, 2, 2, 2, 3, 3, 0}, {0, 0, 1, 1, 1, 2, 2, 3, 3, 3}}, false);
  const Eigen::Matrix<bool, Eigen::Dynamic, Eigen::Dynamic> M =
      support::random(12, 10, 4).array() > 0.0;
  expect_verdicts(attn::DenseMask{M});
  expect_verdicts(attn::mask_mod([](Position at) { return at.key % 3 != 0; }), false);
}

TEST(Verdict, OfCombinationsIsNeverWrong) {
  const attn::Causal causal{.offset = 1};
  const attn::SlidingWindow window{3, 2};
  const attn::KeyPadding padding{7};
  const auto odd = attn::mask_mod([](Position at) { return (at.query + at.key) % 2 == 1; });
  expect_verdicts(causal & padding, false);
  expect_verdicts(causal | padding, false);
  expect_verdicts(!causal);
  expect_verdicts(!window, false);
  expect_verdicts(window & !padding, false);
  expect_verdicts((causal & window) | !padding, false);
  expect_verdicts(padding & !(causal | odd), false);
}

/// Moving every score of a row by a constant changes no weight of these.
template <class Normalizer>
void expect_shift_invariance(const Normalizer& normalizer) {
  const Problem<> p({.n_q = 40, .n_k = 150});
  const auto shift =
      attn::score_mod([](auto s, Position at) { return s + 3.0 * double(at.query); });
  EXPECT_TRUE(support::near(attn::attention(p.Q, p.K, p.V, normalizer, shift),
                            attn::attention(p.Q, p.K, p.V, normalizer), 1e-12));
}

TEST(Attention, DoesNotChangeWithAShiftOfTheScores) {
  expect_shift_invariance(attn::Softmax{});
  expect_shift_invariance(attn::Sparsemax{});
  expect_shift_invariance(attn::Entmax15{});
}

/// Keys in another order give the same output.
template <class... Parts>
void expect_permutation_invariance(const Parts&... parts) {
  const Problem<> p({.n_q = 30, .n_k = 200, .d = 4});
  Eigen::PermutationMatrix<Eigen::Dynamic> order(200);
  order.setIdentity();
  std::mt19937_64 random(5);
  std::shuffle(order.indices().data(), order.indices().data() + 200, random);
  EXPECT_TRUE(support::near(attn::attention(p.Q, order * p.K, order * p.V, parts...),
                            attn::attention(p.Q, p.K, p.V, parts...), 1e-13));
}

TEST(Attention, DoesNotChangeWithTheOrderOfTheKeys) {
  expect_permutation_invariance();
  expect_permutation_invariance(attn::Sigmoid{-3}, attn::CosineSimilarity{});
  expect_permutation_invariance(attn::Entmax15{}, attn::Softcap{2});
  expect_permutation_invariance(attn::SoftmaxWithSink{1});
}

/// Queries computed a chunk at a time, as positions of the whole.
template <class... Parts>
void expect_chunks_of_queries(const Parts&... parts) {
  const Problem<> p({.n_q = 200, .n_k = 150, .d = 4});
  const MatrixXd whole = attn::attention(p.Q, p.K, p.V, parts...);
  for (const auto& [first, count] : {std::pair<Index, Index>{0, 1}, {1, 130}, {131, 69}, {199, 1}})
    EXPECT_TRUE(support::near(attn::attention(p.Q.middleRows(first, count), p.K, p.V, parts...,
                                              attn::PositionOffset{.query = first}),
                              whole.middleRows(first, count), 1e-14));
}

TEST(Attention, OfAChunkOfQueriesIsThatPartOfTheWhole) {
  expect_chunks_of_queries(attn::Causal{}, attn::Alibi{0.1});
  expect_chunks_of_queries(attn::SlidingWindow{20, 3}, attn::Dropout{.p = 0.3, .seed = 1});
  expect_chunks_of_queries(attn::PrefixLm{30}, attn::Sparsemax{},
                           attn::RelativePositionBias{support::random(32, 1, 6)});
}

}  // namespace
