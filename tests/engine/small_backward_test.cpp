// SPDX-License-Identifier: Apache-2.0
// The backward pass of small heads: every size at the borders of panels, every layout, what is not
// asked for, and what is not finite.
#include <gtest/gtest.h>

#include <attn/attn.hpp>
#include <cmath>

#include "support/compare.hpp"
#include "support/head_gradients.hpp"
#include "support/nonfinite.hpp"
#include "support/problem.hpp"
#include "support/stored.hpp"

namespace {

using attn::Index;
using attn::MatrixX;
using Eigen::MatrixXd;
using support::bound;
using support::Case;
using support::expect_gradients;
using support::expect_masked_gradients;
using support::expected;
using support::Gradients;
using support::Problem;
using support::scale_of;
using support::Stored;

using support::nan;
using support::near_gradient;

template <class T>
constexpr Index width = attn::engine::Pack<attn::Accumulator<T>>::width;
template <class T>
constexpr Index panel = attn::engine::panel_width<attn::Accumulator<T>>;
template <class T>
constexpr Index most = attn::engine::small_panels* panel<T>;

template <class T>
class SmallBackward : public testing::Test {};
using Types = testing::Types<float, double, Eigen::half, Eigen::bfloat16>;
TYPED_TEST_SUITE(SmallBackward, Types);

TYPED_TEST(SmallBackward, IsTheGradientAtTheBordersOfPanels) {
  using T = TypeParam;
  const Index sizes[] = {1, 2, width<T>, width<T> + 1, panel<T>, panel<T> + 1, 2 * panel<T> + 3};
  for (const Index n_q : sizes)
    for (const Index n_k : sizes) expect_gradients<T>({.n_q = n_q, .n_k = n_k, .d = 5, .d_v = 3});
}

TYPED_TEST(SmallBackward, IsTheGradientUpToItsLargestHeadsAndBehind) {
  using T = TypeParam;
  expect_gradients<T>({.n_q = most<T>, .n_k = most<T>, .d = 4, .d_v = 4, .seed = 2});
  expect_gradients<T>({.n_q = most<T> + 1, .n_k = 3, .d = 4, .d_v = 4, .seed = 3});
  expect_gradients<T>({.n_q = 3, .n_k = most<T> + 1, .d = 4, .d_v = 4, .seed = 4});
}

TYPED_TEST(SmallBackward, IsTheGradientForAnyNumberOfFeatures) {
  using T = TypeParam;
  for (const Index d : {Index(0), Index(1), width<T> - 1, panel<T>, panel<T> + 1})
    for (const Index d_v : {Index(0), Index(1), width<T>, panel<T> + 1})
      expect_gradients<T>({.n_q = 6, .n_k = 5, .d = d, .d_v = d_v, .seed = 5});
}

TYPED_TEST(SmallBackward, HasTheSameBitsInEveryLayout) {
  using T = TypeParam;
  const Problem<T> p({.n_q = panel<T> + 3, .n_k = width<T> + 1, .d = width<T> + 2, .d_v = 3});
  const auto forward = attn::attention_forward(p.Q, p.K, p.V);
  const auto plain = attn::attention_backward(p.Q, p.K, p.V, forward, p.dO);
  const auto empty = [](const MatrixX<T>& m) {
    return MatrixX<T>(MatrixX<T>::Constant(m.rows(), m.cols(), T(-7)));
  };
  for (int layouts = 0; layouts < 81; ++layouts) {
    const int a = layouts % 3, b = layouts / 3 % 3, c = layouts / 9 % 3, d = layouts / 27;
    const Stored<T> q(p.Q, a), k(p.K, b), v(p.V, (a + d) % 3), d_output(p.dO, c);
    Stored<T> dq(empty(p.Q), d), dk(empty(p.K), (b + c) % 3), dv(empty(p.V), (c + d) % 3);
    attn::attention_backward_into(dq.view, dk.view, dv.view, q.view, k.view, v.view,
                                  attn::view(forward.output), attn::view(forward.log_sum_exp),
                                  d_output.view);
    ASSERT_TRUE(dq.holds(plain.query)) << "layouts " << layouts;
    ASSERT_TRUE(dk.holds(plain.key)) << "layouts " << layouts;
    ASSERT_TRUE(dv.holds(plain.value)) << "layouts " << layouts;
  }
}

TYPED_TEST(SmallBackward, OfManyHasTheSameBitsOnAnyNumberOfThreads) {
  using T = TypeParam;
  const Problem<T> p({.n_q = 9, .n_k = 12, .d = 4, .d_v = 3, .heads = 6, .key_heads = 6});
  const attn::Heads heads{.query = 6};
  const auto forward = attn::attention_forward(p.Q, p.K, p.V, heads);
  const auto one = attn::attention_backward(p.Q, p.K, p.V, forward, p.dO, heads);
  const auto three =
      attn::attention_backward(p.Q, p.K, p.V, forward, p.dO, heads, attn::Threads{3});
  support::expect_same_gradients(one, three);
}

TYPED_TEST(SmallBackward, IsTheGradientUnderAMask) {
  using T = TypeParam;
  for (const Index n : {Index(1), Index(5), width<T>, width<T> + 1, panel<T>, panel<T> + 1}) {
    const Case c{.n_q = n, .n_k = n, .d = 4, .d_v = 3, .seed = 6};
    expect_masked_gradients<T>(c, attn::Causal{});
    expect_masked_gradients<T>(c, attn::SlidingWindow{2, 1}, attn::KeyPadding{n - n / 3});
    expect_masked_gradients<T>(c, attn::KeyPadding{0});
    expect_masked_gradients<T>({.n_q = n, .n_k = 7, .d = 2, .d_v = 2, .seed = 7},
                               attn::Causal::bottom_right());
  }
}

TEST(SmallBackwardParts, OfTheKeysAddUp) {
  for (const Index n : {Index(8), panel<double> + 5, 2 * most<double>})
    support::expect_parts_of_keys_add_up(6, n);
}

/// Weights come from the very scores that L is made of: those of one key are 1, however large.
TEST(SmallBackwardAccuracy, OfLargeScoresIsThatOfTheirForwardPass) {
  Problem<float> p({.n_q = 16, .n_k = 1, .d = 8, .d_v = 5});
  p.Q *= 300;
  p.K *= 300;
  const auto one =
      attn::attention_backward(p.Q, p.K, p.V, attn::attention_forward(p.Q, p.K, p.V), p.dO);
  EXPECT_TRUE(near_gradient(one.value, MatrixXd(p.dO.cast<double>().colwise().sum())));
  EXPECT_LE(one.query.cwiseAbs().maxCoeff(), 1e-3f * p.K.cwiseAbs().maxCoeff());
}

TEST(SmallBackwardAccuracy, DoesNotDependOnProductsThatOverflowBeforeTheyAreScaled) {
  Eigen::MatrixXf Q = Eigen::MatrixXf::Constant(3, 1, 1e20f), K(2, 1), V(2, 1);
  K << 1e20f, 1.01e20f;
  V << 0, 1;
  const attn::ScaledDotProduct score{.scale = 1e-39};
  const Eigen::MatrixXf dO = Eigen::MatrixXf::Ones(3, 1);
  const auto gradient =
      attn::attention_backward(Q, K, V, attn::attention_forward(Q, K, V, score), dO, score);
  EXPECT_TRUE(gradient.query.allFinite());
  EXPECT_NEAR(gradient.value.sum(), 3, 1e-5);
  EXPECT_GT(gradient.value(1), gradient.value(0));
}

TYPED_TEST(SmallBackward, OfAScaleOfZeroHasItsGradient) {
  using T = TypeParam;
  const Problem<T> p({.n_q = 6, .n_k = 5, .d = 3, .d_v = 2});
  const attn::ScaledDotProduct score{.scale = 0};
  const auto forward = attn::attention_forward(p.Q, p.K, p.V, score);
  const auto gradient = attn::attention_backward(p.Q, p.K, p.V, forward, p.dO, score);
  const Gradients exact = expected(p, 0);
  EXPECT_TRUE(near_gradient(gradient.value, exact.value));
  EXPECT_TRUE(near_gradient(gradient.query, exact.query));
  EXPECT_TRUE(near_gradient(gradient.key, exact.key));
  EXPECT_NEAR(scale_of(gradient), exact.scale, 10 * bound<T>);
}

TEST(SmallBackwardNonfinite, AKeyOfMinusInfinityIsAsIfItWereNotThere) {
  for (const Index n : {Index(4), panel<double> + 2})
    support::expect_a_key_of_minus_infinity_is_none(n, n);
}

TEST(SmallBackwardNonfinite, AQueryWithNaNLeavesTheOthersAlone) {
  Problem<> p({.n_q = 6, .n_k = 5, .d = 3, .d_v = 2});
  const auto before =
      attn::attention_backward(p.Q, p.K, p.V, attn::attention_forward(p.Q, p.K, p.V), p.dO);
  p.Q(2, 1) = nan;
  const auto after =
      attn::attention_backward(p.Q, p.K, p.V, attn::attention_forward(p.Q, p.K, p.V), p.dO);
  for (Index i = 0; i < 6; ++i) {
    if (i == 2)
      EXPECT_TRUE(after.query.row(i).array().isNaN().all());
    else
      EXPECT_TRUE(support::near(after.query.row(i), before.query.row(i), 1e-15)) << i;
  }
  EXPECT_TRUE(after.key.array().isNaN().all());
  EXPECT_TRUE(after.value.array().isNaN().all());
}

TEST(SmallBackwardViews, WritesOnlyWhatIsAskedFor) { support::expect_only_what_is_asked_for(6, 5); }

}  // namespace
