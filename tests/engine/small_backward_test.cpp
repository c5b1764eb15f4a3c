// SPDX-License-Identifier: Apache-2.0
// The backward pass of small heads: every size at the borders of panels, every layout, what is not
// asked for, and what is not finite.
#include <gtest/gtest.h>

#include <attn/attn.hpp>
#include <cmath>
#include <limits>

#include "support/compare.hpp"
#include "support/problem.hpp"
#include "support/stored.hpp"

namespace {

using attn::Index;
using attn::MatrixX;
using attn::TensorView;
using Eigen::MatrixXd;
using support::Case;
using support::Problem;
using support::Stored;

constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr double nan = std::numeric_limits<double>::quiet_NaN();

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

struct Gradients {
  MatrixXd query, key, value;
  double scale;
};

double scale_of(const auto& gradient) {
  return gradient.template of<attn::ScaledDotProduct>().scale;
}

/// As the chain rule has it: dS = P o (dP - D), with all of P in double.
template <class T>
Gradients expected(const Problem<T>& p, double scale) {
  const MatrixXd Q = p.Q.template cast<double>(), K = p.K.template cast<double>(),
                 V = p.V.template cast<double>(), dO = p.dO.template cast<double>();
  const MatrixXd P =
      attn::reference::attend(Q, K, V, attn::ScaledDotProduct{.scale = scale}).weights;
  const MatrixXd dP = dO * V.transpose();
  const Eigen::VectorXd means = P.cwiseProduct(dP).rowwise().sum();
  const MatrixXd dS = P.array() * (dP.colwise() - means).array();
  return {scale * dS * K, scale * dS.transpose() * Q, P.transpose() * dO,
          dS.cwiseProduct(Q * K.transpose()).sum()};
}

/// What rounding a gradient to T may cost, and computing it in the accumulator's type.
template <class T>
constexpr double bound = 100 * double(std::numeric_limits<T>::epsilon());
template <>
constexpr double bound<Eigen::half> = 0x1p-10;
template <>
constexpr double bound<Eigen::bfloat16> = 0x1p-7;

template <class T>
testing::AssertionResult near(const MatrixX<T>& gradient, const MatrixXd& exact) {
  const double largest = exact.size() == 0 ? 0 : exact.cwiseAbs().maxCoeff();
  return support::near(gradient.template cast<double>(), exact, bound<T> * std::max(largest, 0.1));
}

template <class T>
void expect_gradients(const Case& c) {
  SCOPED_TRACE(c);
  const Problem<T> p(c);
  const attn::ScaledDotProduct score{.scale = 0.7};
  const auto forward = attn::attention_forward(p.Q, p.K, p.V, score);
  const auto gradient = attn::attention_backward(p.Q, p.K, p.V, forward, p.dO, score);
  const Gradients exact = expected(p, *score.scale);
  EXPECT_TRUE(near(gradient.query, exact.query)) << "dQ";
  EXPECT_TRUE(near(gradient.key, exact.key)) << "dK";
  EXPECT_TRUE(near(gradient.value, exact.value)) << "dV";
  EXPECT_NEAR(scale_of(gradient), exact.scale, bound<T> * std::sqrt(double(c.n_q * c.n_k)));
}

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
  const Case c{.n_q = panel<T> + 3, .n_k = width<T> + 1, .d = width<T> + 2, .d_v = 3};
  const Problem<T> p(c);
  const auto forward = attn::attention_forward(p.Q, p.K, p.V);
  const auto expected = attn::attention_backward(p.Q, p.K, p.V, forward, p.dO);
  const auto empty = [](const MatrixX<T>& m) {
    return MatrixX<T>(MatrixX<T>::Constant(m.rows(), m.cols(), T(-7)));
  };
  for (int layouts = 0; layouts < 81; ++layouts) {
    const Stored<T> q(p.Q, layouts % 3), k(p.K, layouts / 3 % 3), v(p.V, (layouts + 1) % 3),
        d_output(p.dO, layouts / 9 % 3);
    Stored<T> dq(empty(p.Q), layouts / 27), dk(empty(p.K), (layouts / 3 + 2) % 3),
        dv(empty(p.V), layouts / 9 % 3);
    attn::attention_backward_into(dq.view, dk.view, dv.view, q.view, k.view, v.view,
                                  attn::view(forward.output), attn::view(forward.log_sum_exp),
                                  d_output.view);
    ASSERT_TRUE(dq.holds(expected.query)) << "layouts " << layouts;
    ASSERT_TRUE(dk.holds(expected.key)) << "layouts " << layouts;
    ASSERT_TRUE(dv.holds(expected.value)) << "layouts " << layouts;
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
  EXPECT_EQ(one.query, three.query);
  EXPECT_EQ(one.key, three.key);
  EXPECT_EQ(one.value, three.value);
  EXPECT_EQ(scale_of(one), scale_of(three));
}

/// A key whose scores are -inf by themselves has no part in anything, whatever its row of V holds.
TEST(SmallBackwardNonfinite, AKeyOfMinusInfinityIsAsIfItWereNotThere) {
  for (const Index n : {Index(4), panel<double> + 2}) {
    Problem<> p({.n_q = n, .n_k = n, .d = 3, .d_v = 2});
    p.Q.col(0).setConstant(1);
    const Problem<> all = p;
    p.K(n - 1, 0) = -infinity;
    p.V(n - 1, 1) = nan;
    const auto gradient =
        attn::attention_backward(p.Q, p.K, p.V, attn::attention_forward(p.Q, p.K, p.V), p.dO);
    const MatrixXd K = all.K.topRows(n - 1), V = all.V.topRows(n - 1);
    const auto without =
        attn::attention_backward(p.Q, K, V, attn::attention_forward(p.Q, K, V), p.dO);
    EXPECT_TRUE(support::near(gradient.query, without.query, 1e-14));
    EXPECT_TRUE(support::near(gradient.key.topRows(n - 1), without.key, 1e-14));
    EXPECT_TRUE(support::near(gradient.value.topRows(n - 1), without.value, 1e-14));
    EXPECT_EQ(gradient.key.row(n - 1), Eigen::RowVectorXd::Zero(3));
    EXPECT_EQ(gradient.value.row(n - 1), Eigen::RowVectorXd::Zero(2));
    EXPECT_NEAR(scale_of(gradient), scale_of(without), 1e-13);
  }
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

TEST(SmallBackwardViews, WritesOnlyWhatIsAskedFor) {
  const Problem<> p({.n_q = 6, .n_k = 5, .d = 3, .d_v = 2});
  const auto forward = attn::attention_forward(p.Q, p.K, p.V);
  const auto whole = attn::attention_backward(p.Q, p.K, p.V, forward, p.dO);
  MatrixXd dq(6, 3), dk(5, 3), dv(5, 2);
  const TensorView<double> nothing;
  const auto backward = [&](const auto& query, const auto& key, const auto& value) {
    attn::attention_backward_into(query, key, value, attn::view(p.Q), attn::view(p.K),
                                  attn::view(p.V), attn::view(forward.output),
                                  attn::view(forward.log_sum_exp), attn::view(p.dO));
  };
  backward(attn::view(dq), nothing, nothing);
  backward(nothing, attn::view(dk), nothing);
  backward(nothing, nothing, attn::view(dv));
  EXPECT_EQ(dq, whole.query);
  EXPECT_EQ(dk, whole.key);
  EXPECT_EQ(dv, whole.value);
}

}  // namespace
