// SPDX-License-Identifier: Apache-2.0
// Explanations against the weights computed whole: by the textbook, and by attention_weights.
#include <gtest/gtest.h>

#include <algorithm>
#include <attn/attn.hpp>
#include <cmath>
#include <numeric>
#include <vector>

#include "support/batch.hpp"
#include "support/compare.hpp"
#include "support/nonfinite.hpp"
#include "support/problem.hpp"
#include "support/random.hpp"

namespace {

using attn::Index;
using Eigen::MatrixXd;
using Eigen::VectorXd;
using support::Case;
using support::near;
using support::Problem;

using support::nan;

/// Column h: the entropy of the rows of head h.
MatrixXd entropy_of(const MatrixXd& weights, Index heads) {
  const MatrixXd terms =
      weights.unaryExpr([](double p) { return p == 0 ? 0.0 : -p * std::log(p); });
  return Eigen::Map<const MatrixXd>(VectorXd(terms.rowwise().sum()).data(), weights.rows() / heads,
                                    heads);
}

/// Column h: r^T P_h.
MatrixXd mass_of(const MatrixXd& weights, Index heads, const VectorXd& r) {
  MatrixXd mass(weights.cols(), heads);
  for (Index h = 0; h < heads; ++h)
    mass.col(h) = weights.middleRows(h * r.size(), r.size()).transpose() * r;
  return mass;
}

/// The k largest weights of each row, 0 where there are fewer.
MatrixXd largest_of(const MatrixXd& weights, Index k) {
  MatrixXd top = MatrixXd::Zero(weights.rows(), k);
  for (Index i = 0; i < weights.rows(); ++i) {
    std::vector<double> row(static_cast<std::size_t>(weights.cols()));
    for (Index j = 0; j < weights.cols(); ++j) row[static_cast<std::size_t>(j)] = weights(i, j);
    std::sort(row.rbegin(), row.rend());
    for (Index r = 0; r < std::min(k, weights.cols()); ++r)
      top(i, r) = row[static_cast<std::size_t>(r)];
  }
  return top;
}

/// The explanations of a case, each against the matrix of weights.
template <class... Parts>
void expect_explained(const Case& c, const Parts&... parts) {
  SCOPED_TRACE(testing::Message() << c);
  const Problem<double> p(c);
  const MatrixXd P = attn::reference::attend(p.Q, p.K, p.V, parts...).weights;
  const VectorXd r = support::random_vector<double>(c.n_q, 9);
  constexpr Index k = 3;
  constexpr double bound = 1e-12;
  EXPECT_TRUE(near(attn::explain::entropy(p.Q, p.K, parts...), entropy_of(P, c.heads), bound));
  EXPECT_TRUE(near(attn::explain::column_mass(p.Q, p.K, parts...),
                   mass_of(P, c.heads, VectorXd::Ones(c.n_q)), bound * double(c.n_q)));
  EXPECT_TRUE(near(attn::explain::weighted_column_mass(r, p.Q, p.K, parts...),
                   mass_of(P, c.heads, r), bound * double(c.n_q)));
  const auto top = attn::explain::top_k(p.Q, p.K, k, parts...);
  EXPECT_TRUE(near(top.weights, largest_of(P, k), bound));
  ASSERT_EQ(top.keys.rows(), c.heads * c.n_q);
  for (Index i = 0; i < top.keys.rows(); ++i)
    for (Index n = 0; n < k; ++n)
      if (const Index key = top.keys(i, n); key >= 0)
        EXPECT_NEAR(P(i, key), top.weights(i, n), bound);
      else
        EXPECT_EQ(top.weights(i, n), 0);
}

TEST(Explain, TellsOfTheWeightsThatTheTextbookGives) {
  const attn::SlidingWindow everything, window{3, 4};
  expect_explained({.n_q = 1, .n_k = 9}, everything);
  expect_explained({.n_q = 70, .n_k = 200, .d = 8}, everything);
  expect_explained({.n_q = 40, .n_k = 150}, window);
}

TEST(Explain, TakesHeadsModifiersAndSinks) {
  expect_explained({.n_q = 33, .n_k = 65, .heads = 4, .key_heads = 2},
                   attn::Heads{.query = 4, .key_value = 2}, attn::Causal{}, attn::Softcap{2},
                   attn::SoftmaxWithSink{{0.3, -1.0, 2.0, 0.0}});
}

TEST(Explain, TakesEveryNormaliser) {
  expect_explained({.n_q = 20, .n_k = 70}, attn::Sparsemax{}, attn::KeyPadding{60});
  expect_explained({.n_q = 9, .n_k = 100}, attn::Sigmoid{-2}, attn::Dropout{0.4, 7},
                   attn::PositionOffset{.query = 3, .key = 5});
}

TEST(Explain, TakesScoresThatAreNoProduct) {
  const MatrixXd Wq = support::random(5, 4, 1), Wk = support::random(5, 4, 2);
  expect_explained({.n_q = 20, .n_k = 70},
                   attn::Additive{Wq, Wk, support::random_vector<double>(4, 3)},
                   attn::mask_mod([](attn::Position at) { return (at.query + at.key) % 3 != 0; }));
}

TEST(TopKeys, OfAllKeysAreTheWeightsToTheLastBit) {
  const Problem<double> p({.n_q = 130, .n_k = 90, .d = 16});
  const attn::SlidingWindow window{40, 7};
  const MatrixXd P = attn::attention_weights(p.Q, p.K, window);
  const auto top = attn::explain::top_k(p.Q, p.K, 90, window);
  MatrixXd again = MatrixXd::Zero(130, 90);
  for (Index i = 0; i < 130; ++i)
    for (Index r = 0; r < 90; ++r) {
      const bool sees = r < std::min<Index>(i + 8, 90) - std::max<Index>(i - 40, 0);
      ASSERT_EQ(top.keys(i, r) >= 0, sees) << i << ", " << r;
      if (sees) again(i, top.keys(i, r)) = top.weights(i, r);
    }
  EXPECT_TRUE(support::same_bits(again, P));
}

TEST(TopKeys, OfEqualWeightTheLowerComesFirst) {
  const MatrixXd Q = MatrixXd::Ones(5, 2), K = MatrixXd::Ones(200, 2);
  const auto top = attn::explain::top_k(Q, K, 3, attn::SlidingWindow{-1, 1});
  for (Index i = 0; i < 5; ++i)
    for (Index r = 0; r < 3; ++r) EXPECT_EQ(top.keys(i, r), r < i + 2 ? r : -1);
}

TEST(TopKeys, ThatArePermittedCountWithoutWeight) {
  Eigen::MatrixXd Q = MatrixXd::Ones(1, 1), K(4, 1);
  K << 1, 9, 5, 2;
  const auto top = attn::explain::top_k(Q, K, 4, attn::Sparsemax{}, attn::KeyPadding{3});
  EXPECT_EQ(top.keys, (Eigen::RowVector<Index, 4>(1, 0, 2, -1)));
  EXPECT_EQ(top.weights, (Eigen::RowVector4d(1, 0, 0, 0)));
}

TEST(Entropy, OfEvenWeightsIsTheLogarithmOfTheirNumber) {
  const MatrixXd Q = support::random(40, 3, 1), K = MatrixXd::Zero(40, 3);
  const MatrixXd H = attn::explain::entropy(Q, K, attn::SlidingWindow{-1, 0});
  for (Index i = 0; i < 40; ++i) EXPECT_NEAR(H(i, 0), std::log(double(i + 1)), 1e-14);
  EXPECT_FALSE(std::signbit(H(0, 0)));
}

TEST(Entropy, OfOneKeyIsZero) {
  const MatrixXd Q = MatrixXd::Identity(3, 3), K = 1e4 * MatrixXd::Identity(3, 3);
  EXPECT_TRUE(near(attn::explain::entropy(Q, K), MatrixXd::Zero(3, 1), 1e-15));
}

TEST(ColumnMass, SumsToTheQueries) {
  const Problem<double> p({.n_q = 3000, .n_k = 130, .d = 4, .heads = 2, .key_heads = 1});
  const MatrixXd mass =
      attn::explain::column_mass(p.Q, p.K, attn::Heads{.query = 2, .key_value = 1});
  EXPECT_TRUE(near(mass.colwise().sum(), Eigen::RowVector2d(3000, 3000), 1e-9));
}

TEST(ColumnMass, OfAQueryWithoutWeightIsNothingWhateverItHolds) {
  Problem<double> p({.n_q = 60, .n_k = 40});
  VectorXd r = VectorXd::Zero(60);
  r(7) = 2;
  const MatrixXd alone = attn::explain::column_mass(p.Q.middleRows(7, 1), p.K);
  p.Q.row(8).setConstant(nan);
  EXPECT_TRUE(near(attn::explain::weighted_column_mass(r, p.Q, p.K), 2 * alone, 1e-14));
}

TEST(Explain, HasAWeightOfRowsForEachHead) {
  const Problem<double> p({.n_q = 12, .n_k = 10, .heads = 2, .key_heads = 2});
  const attn::Heads heads{2};
  const MatrixXd r = support::random(12, 2, 5);
  const MatrixXd mass = attn::explain::weighted_column_mass(r, p.Q, p.K, heads);
  for (Index h = 0; h < 2; ++h)
    EXPECT_EQ(mass.col(h), attn::explain::weighted_column_mass(r.col(h), p.Q, p.K, heads).col(h));
}

TEST(Explain, ShowsNaNAtTheQueryThatHasIt) {
  Problem<double> p({.n_q = 50, .n_k = 30});
  p.Q(3, 1) = nan;
  p.K(29, 0) = nan;  // masked
  const attn::KeyPadding padding{29};
  const MatrixXd H = attn::explain::entropy(p.Q, p.K, padding);
  const auto top = attn::explain::top_k(p.Q, p.K, 2, padding);
  for (Index i = 0; i < 50; ++i) {
    EXPECT_EQ(std::isnan(H(i, 0)), i == 3);
    EXPECT_EQ(std::isnan(top.weights(i, 0)), i == 3);
    EXPECT_TRUE(top.keys(i, 0) >= 0 && top.keys(i, 0) < 29);
  }
  EXPECT_EQ(top.keys.row(3), (Eigen::RowVector<Index, 2>(0, 1)));
  const MatrixXd mass = attn::explain::column_mass(p.Q, p.K, padding);
  EXPECT_TRUE(mass.topRows(29).array().isNaN().all());
  EXPECT_EQ(mass(29, 0), 0);
}

TEST(Explain, TakesEmptyInputs) {
  const MatrixXd some = support::random(4, 3, 1), none(0, 3);
  EXPECT_EQ(attn::explain::entropy(none, some).rows(), 0);
  EXPECT_EQ(attn::explain::entropy(some, none), MatrixXd::Zero(4, 1));
  EXPECT_EQ(attn::explain::column_mass(none, some), MatrixXd::Zero(4, 1));
  EXPECT_EQ(attn::explain::column_mass(some, none).rows(), 0);
  const auto top = attn::explain::top_k(some, none, 2);
  EXPECT_TRUE((top.keys.array() == -1).all() && top.weights.isZero(0));
  EXPECT_EQ(attn::explain::top_k(none, some, 2).keys.rows(), 0);
}

TEST(Explain, KeepsItsBitsForAnyNumberOfThreads) {
  const Problem<double> p({.n_q = 2500, .n_k = 70, .d = 4, .heads = 2, .key_heads = 2});
  const attn::Heads heads{2};
  attn::Workspace workspace;
  const MatrixXd mass = attn::explain::column_mass(p.Q, p.K, heads, workspace);
  const auto top = attn::explain::top_k(p.Q, p.K, 2, heads, workspace);
  for (Index n : {2, 50}) {
    const attn::Threads threads{n};
    EXPECT_TRUE(support::same_bits(attn::explain::column_mass(p.Q, p.K, heads, threads), mass));
    const auto by_threads = attn::explain::top_k(p.Q, p.K, 2, heads, threads);
    EXPECT_TRUE(support::same_bits(by_threads.weights, top.weights));
    EXPECT_EQ(by_threads.keys, top.keys);
  }
}

TEST(Explain, StacksBatchesByRows) {
  const support::Array<double> Q(support::Layout::strided, {2, 2, 9, 4}, 1);
  const support::Array<double> K(support::Layout::bthd, {2, 1, 11, 4}, 2);
  const attn::KeyPadding lengths{{11, 6}};
  const auto H = attn::explain::entropy(Q.view(), K.view(), lengths);
  const auto mass = attn::explain::column_mass(Q.view(), K.view(), lengths);
  const auto top = attn::explain::top_k(Q.view(), K.view(), 3, lengths);
  std::vector<double> numbers(2 * 2 * 9 * 11);
  const auto P = attn::bhtd(numbers.data(), 2, 2, 9, 11);
  attn::attention_weights_into(P, Q.view(), K.view(), lengths);
  for (Index b = 0; b < 2; ++b)
    for (Index h = 0; h < 2; ++h) {
      const Eigen::Map<attn::explain::TopKeys<double>::Rows<double>> weights(P.pointer(b, h, 0), 9,
                                                                             11);
      EXPECT_TRUE(near(H.block(b * 9, h, 9, 1), entropy_of(weights, 1), 1e-12));
      EXPECT_TRUE(
          near(mass.block(b * 11, h, 11, 1), mass_of(weights, 1, VectorXd::Ones(9)), 1e-12));
      EXPECT_EQ(top.weights.middleRows((b * 2 + h) * 9, 9), largest_of(weights, 3));
    }
}

TEST(Explain, CountsTheKeysOfPackedSequencesInAllOfK) {
  const Problem<double> p({.n_q = 14, .n_k = 30});
  const attn::CumulativeLengths packed{{0, 4, 4, 14}, {0, 9, 12, 30}};
  const MatrixXd H = attn::explain::entropy(p.Q, p.K, packed);
  const MatrixXd mass = attn::explain::column_mass(p.Q, p.K, packed, attn::Threads{2});
  const auto top = attn::explain::top_k(p.Q, p.K, 2, packed);
  const MatrixXd P = attn::reference::attend(p.Q, p.K, p.V, packed).weights;
  EXPECT_TRUE(near(H, entropy_of(P, 1), 1e-12));
  EXPECT_TRUE(near(mass, mass_of(P, 1, VectorXd::Ones(14)), 1e-12));
  EXPECT_TRUE(near(top.weights, largest_of(P, 2), 1e-12));
  for (Index i = 0; i < 14; ++i) EXPECT_NEAR(P(i, top.keys(i, 0)), top.weights(i, 0), 1e-12);
}

TEST(Explain, TakesExpressionsOfNarrowStorageAndAMechanism) {
  const Problem<Eigen::half> p({.n_q = 6, .n_k = 8, .d = 4});
  const attn::Attention mechanism{attn::Causal{}};
  const Eigen::MatrixXf H = mechanism.with_parts(
      [&](auto&... parts) { return attn::explain::entropy(p.Q.topRows(5), -p.K, parts...); });
  const MatrixXd Q = p.Q.topRows(5).cast<double>(), K = -p.K.cast<double>();
  EXPECT_TRUE(near(H, attn::explain::entropy(Q, K, attn::Causal{}), 1e-5));
}

}  // namespace
