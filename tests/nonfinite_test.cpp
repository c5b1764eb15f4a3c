// SPDX-License-Identifier: Apache-2.0
// NaN, infinities and huge scores: what is visible reaches its row, empty rows are zero.
#include <gtest/gtest.h>

#include <algorithm>
#include <attn/attn.hpp>
#include <cmath>
#include <tuple>

#include "support/gradients.hpp"
#include "support/nonfinite.hpp"

namespace {

using attn::Index;
using Eigen::MatrixXd;
using support::Case;
using support::Problem;

using support::infinity;
using support::nan;
constexpr Case small{};
constexpr Case several_tiles{.n_q = 133, .n_k = 261, .d = 4, .d_v = 3, .seed = 3};

/// O of the engine has the numbers, infinities and NaN of the definition.
template <class... Parts>
void expect_the_definition(const Problem<>& p, const Parts&... parts) {
  const auto expected = attn::reference::attend(p.Q, p.K, p.V, parts...);
  const auto forward = attn::attention_forward(p.Q, p.K, p.V, parts...);
  EXPECT_TRUE(support::near(forward.output, expected.output, 1e-13));
  // L is as large as the scores are.
  const double largest =
      p.Q.allFinite() && p.K.allFinite() ? expected.log_sum_exp.cwiseAbs().maxCoeff() : 1;
  ASSERT_TRUE(std::isfinite(largest));
  EXPECT_TRUE(
      support::near(forward.log_sum_exp, expected.log_sum_exp, 1e-15 * std::max(largest, 1e2)));
}

template <class... Parts>
void expect_nan_in_its_rows(const Case& c, const Parts&... parts) {
  SCOPED_TRACE(c);
  const Problem<> clean(c);
  const Index j = c.n_k - 5;
  Problem<> p = clean;
  p.K(j, 1) = nan;
  expect_the_definition(p, attn::Causal::bottom_right(), parts...);
  const auto O = attn::attention(p.Q, p.K, p.V, attn::Causal::bottom_right(), parts...);
  for (Index i = 0; i < c.n_q; ++i)
    EXPECT_EQ(O.row(i).array().isNaN().all(), i + c.n_k - c.n_q >= j) << "query " << i;
  p = clean;
  p.Q(c.n_q - 2, 0) = nan;
  expect_the_definition(p, attn::Causal::bottom_right(), parts...);
  p = clean;
  p.V(j, 1) = nan;
  p.V(j - 1, 0) = infinity;
  const auto with_nan = attn::attention(p.Q, p.K, p.V, attn::Causal::bottom_right(), parts...);
  for (Index i = 0; i < c.n_q; ++i) {
    EXPECT_EQ(std::isnan(with_nan(i, 1)), i + c.n_k - c.n_q >= j) << "query " << i;
    EXPECT_TRUE(std::isfinite(with_nan(i, 2)));
  }
  expect_the_definition(p, attn::Causal::bottom_right(), parts...);
}

template <class... Parts>
void expect_visible_nan_in_its_rows(const Parts&... parts) {
  expect_nan_in_its_rows({}, parts...);
  expect_nan_in_its_rows(several_tiles, parts...);
}

TEST(VisibleNaN, ReachesTheRowsThatSeeItAndNoOther) {
  expect_visible_nan_in_its_rows();
  expect_visible_nan_in_its_rows(attn::SoftmaxWithSink{0.5});
  expect_visible_nan_in_its_rows(attn::Sigmoid{-1});
  expect_visible_nan_in_its_rows(attn::Softcap{2});
}

TEST(VisibleNaN, ReachesTheRowsThatSeeItUnderSparseWeights) {
  expect_visible_nan_in_its_rows(attn::Sparsemax{});
  expect_visible_nan_in_its_rows(attn::Entmax15{});
  expect_visible_nan_in_its_rows(attn::Dropout{.p = 0.5, .seed = 1});
}

TEST(VisibleNaN, StaysInItsRowOfTheGradientOfQ) {
  for (const Case& c : {small, several_tiles}) {
    Problem<> p(c);
    const auto clean = support::forward_and_backward(p, std::tuple(attn::Causal{}));
    p.Q(3, 0) = nan;
    const auto g = support::forward_and_backward(p, std::tuple(attn::Causal{}));
    for (Index i = 0; i < c.n_q; ++i) {
      if (i == 3)
        EXPECT_TRUE(g.query.row(i).array().isNaN().all());
      else
        EXPECT_TRUE(support::near(g.query.row(i), clean.query.row(i), 1e-14)) << "query " << i;
    }
    EXPECT_TRUE(support::near(g.key.bottomRows(c.n_k - 4), clean.key.bottomRows(c.n_k - 4), 1e-14));
    EXPECT_TRUE(g.key.row(3).array().isNaN().all());
  }
}

TEST(InfiniteScore, IsWhatTheDefinitionSays) {
  Problem<> p({});
  p.K(3, 0) = infinity;
  p.Q.col(0) << 1, -1, 2, -2, 3, -3, 1;
  expect_the_definition(p, attn::DotProduct{});
  expect_the_definition(p, attn::DotProduct{}, attn::Sigmoid{});
  expect_the_definition(p, attn::DotProduct{}, attn::Softcap{5});
}

/// Parts under which the first three queries see nothing.
template <class... Parts>
void expect_zeros_in_empty_rows(const Parts&... parts) {
  Problem<> p({});
  p.Q.topRows(3).setConstant(nan);
  const attn::Causal mask{.offset = -3};
  const auto forward = attn::attention_forward(p.Q, p.K, p.V, mask, parts...);
  const auto g = attn::attention_backward(p.Q, p.K, p.V, forward, p.dO, mask, parts...);
  const MatrixXd P = attn::attention_weights(p.Q, p.K, mask, parts...);
  EXPECT_TRUE((forward.output.topRows(3).array() == 0.0).all());
  EXPECT_TRUE((forward.log_sum_exp.topRows(3).array() == -infinity).all());
  EXPECT_TRUE((P.topRows(3).array() == 0.0).all());
  EXPECT_TRUE((g.query.topRows(3).array() == 0.0).all());
  EXPECT_TRUE(forward.output.allFinite() && forward.log_sum_exp.bottomRows(4).allFinite());
  EXPECT_TRUE(g.query.allFinite() && g.key.allFinite() && g.value.allFinite());
  EXPECT_TRUE((forward.output.bottomRows(4).array() != 0.0).any());
}

TEST(InfiniteScore, OfMinusInfinityEverywhereIsAnEmptyRow) {
  Problem<> p(several_tiles);
  p.Q.col(0).setConstant(1);
  p.Q(3, 0) = -1;
  p.K.col(0).setConstant(infinity);  // query 3 scores -inf with every key, the others +inf
  const auto forward = attn::attention_forward(p.Q.row(3), p.K, p.V);
  EXPECT_EQ(forward.output, MatrixXd::Zero(1, p.V.cols()));
  EXPECT_EQ(forward.log_sum_exp(0), -infinity);
  expect_the_definition(p);
}

TEST(EmptyRow, IsZeroEverywhere) {
  expect_zeros_in_empty_rows();
  expect_zeros_in_empty_rows(attn::SoftmaxWithSink{0.5});
  expect_zeros_in_empty_rows(attn::Sigmoid{3});
  expect_zeros_in_empty_rows(attn::Sparsemax{});
  expect_zeros_in_empty_rows(attn::Entmax15{});
  expect_zeros_in_empty_rows(attn::Dropout{.p = 0.3, .seed = 1}, attn::Softcap{2});
  expect_zeros_in_empty_rows(
      attn::prob_mod([](auto p, attn::Position) { return p + decltype(p)(1); }));
}

TEST(EmptyRow, LeavesTheGradientOfASinkFinite) {
  Problem<> p({});
  const auto parts = std::tuple(attn::SoftmaxWithSink{0.5}, attn::Causal{.offset = -20});
  const auto g = support::forward_and_backward(p, parts);
  EXPECT_EQ(g.of<attn::SoftmaxWithSink>().logits(0), 0.0);
}

/// Scores of +-1e4 and more, one of which wins or all of which are equal.
template <class... Parts>
void expect_finite_extremes(const Parts&... parts) {
  Problem<> p({});
  p.Q *= 1e2;
  p.K *= 1e2;
  expect_the_definition(p, attn::DotProduct{}, parts...);
  const auto forward = attn::attention_forward(p.Q, p.K, p.V, attn::DotProduct{}, parts...);
  const auto g =
      attn::attention_backward(p.Q, p.K, p.V, forward, p.dO, attn::DotProduct{}, parts...);
  EXPECT_TRUE(g.query.allFinite() && g.key.allFinite() && g.value.allFinite());
  p.K = MatrixXd::Constant(9, 5, -40);
  p.Q = MatrixXd::Constant(7, 5, 50);
  expect_the_definition(p, attn::DotProduct{}, parts...);
}

TEST(HugeScores, AreWhatTheDefinitionSays) {
  expect_finite_extremes();
  expect_finite_extremes(attn::SoftmaxWithSink{1e4});
  expect_finite_extremes(attn::Sigmoid{});
  expect_finite_extremes(attn::Sparsemax{});
  expect_finite_extremes(attn::Entmax15{});
}

TEST(HugeScores, OfFloatTakeTheOneThatWins) {
  Eigen::MatrixXf Q = Eigen::MatrixXf::Zero(4, 4), K = Eigen::MatrixXf::Zero(4, 4);
  Q.diagonal().setConstant(1e4F);
  K.diagonal().setConstant(1.F);
  const Eigen::MatrixXf V = support::random<float>(4, 3, 6);
  const auto forward = attn::attention_forward(Q, K, V, attn::DotProduct{});
  EXPECT_TRUE(support::near(forward.output, V, 1e-7));
  EXPECT_TRUE((forward.log_sum_exp.array() == 1e4F).all());
  const auto g = attn::attention_backward(Q, K, V, forward, V, attn::DotProduct{});
  EXPECT_TRUE(g.query.allFinite() && g.key.allFinite());
  EXPECT_TRUE(support::near(g.value, V, 1e-6));
}

}  // namespace
