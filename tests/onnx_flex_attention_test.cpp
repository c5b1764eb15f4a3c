// SPDX-License-Identifier: Apache-2.0
// attn::onnx::flex_attention against its definition, with every element in double.
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>
#include <type_traits>

#include "support/onnx_attention.hpp"

namespace {

using attn::Position;
using support::agrees;
using support::Array4;
using support::Buffer;
using support::Index;
using support::neg;

/// A graph: what stands in the place of a number, given the indices of its query and key.
using Graph = std::function<double(double, Index, Index)>;

const Graph none = [](double x, Index, Index) { return x; };

struct Flex {
  Array4 Q, K, V;
  double scale;

  explicit Flex(Index Hq = 4, Index Hk = 2, Index L = 6, Index S = 6, Index E = 5, Index Ev = 3)
      : Q(support::random4({2, Hq, L, E}, 1)),
        K(support::random4({2, Hk, S, E}, 2)),
        V(support::random4({2, Hk, S, Ev}, 3)),
        scale(1 / std::sqrt(double(E))) {
    for (double& q : Q.numbers) q *= 3;
  }

  /// Section by section as the definition reads: numpy's softmax, 0 times anything included.
  Array4 defined(const Graph& score_mod = none, const Graph& prob_mod = none) const {
    const Index Hq = Q.shape[1], L = Q.shape[2], S = K.shape[2], Ev = V.shape[3];
    Array4 Y({2, Hq, L, Ev});
    for (Index b = 0; b < 2; ++b)
      for (Index h = 0; h < Hq; ++h)
        for (Index i = 0; i < L; ++i) {
          const Index c = h / (Hq / K.shape[1]);
          std::vector<double> s;
          double most = neg, sum = 0;
          for (Index j = 0; j < S; ++j) {
            double dot = 0;
            for (Index e = 0; e < Q.shape[3]; ++e) dot += Q(b, h, i, e) * K(b, c, j, e);
            s.push_back(score_mod(scale * dot, i, j));
            most = std::max(most, s.back());
          }
          for (double& x : s) x = std::exp(x - most), sum += x;
          for (Index j = 0; j < S; ++j)
            for (Index f = 0; f < Ev; ++f)
              Y(b, h, i, f) += prob_mod(s[std::size_t(j)] / sum, i, j) * V(b, c, j, f);
        }
    return Y;
  }

  template <class T = double, class... Parts>
  Array4 computed(const attn::onnx::FlexAttentionAttributes& attributes,
                  const Parts&... parts) const {
    const std::array<Index, 4> shape{2, Q.shape[1], Q.shape[2], V.shape[3]};
    const Buffer<T> q(Q, 4), k(K, 4), v(V, 4);
    Buffer<T> y(Array4(shape, 7), 4);
    attn::onnx::flex_attention<T>({.Y = y.tensor()},
                                  {.Q = q.tensor(), .K = k.tensor(), .V = v.tensor()}, attributes,
                                  parts...);
    return y.array(shape);
  }
};

const auto hide_future =
    attn::score_mod([](auto s, Position at) { return at.key <= at.query ? s : decltype(s)(neg); });
const Graph future_hidden = [](double s, Index i, Index j) { return j <= i ? s : neg; };

/// Hides everything from queries 1 and 4.
const auto hide_rows =
    attn::score_mod([](auto s, Position at) { return at.query % 3 == 1 ? decltype(s)(neg) : s; });
const Graph rows_hidden = [](double s, Index i, Index) { return i % 3 == 1 ? neg : s; };

TEST(OnnxFlexAttention, IsAttentionWithoutGraphs) {
  const Flex flex;
  EXPECT_TRUE(agrees(flex.computed({}), flex.defined(), 1e-13));
}

TEST(OnnxFlexAttention, SharesKeyHeadsInARow) {
  const Flex flex(6, 2, 3, 7, 4, 9);
  EXPECT_TRUE(agrees(flex.computed({}), flex.defined(), 1e-13));
}

TEST(OnnxFlexAttention, TakesAScale) {
  Flex flex;
  flex.scale = double(0.3f);
  EXPECT_TRUE(agrees(flex.computed({.scale = 0.3f}), flex.defined(), 1e-13));
  flex.scale = 0;
  EXPECT_TRUE(agrees(flex.computed({.scale = 0.f}), flex.defined(), 1e-13));
}

TEST(OnnxFlexAttention, TakesAScoreMod) {
  const Flex flex;
  EXPECT_TRUE(agrees(flex.computed({}, hide_future), flex.defined(future_hidden), 1e-13));
  const Graph cap = [](double s, Index, Index) { return 0.5 * std::tanh(s / 0.5); };
  EXPECT_TRUE(agrees(flex.computed({}, attn::Softcap{0.5}), flex.defined(cap), 1e-13));
  const Graph distance = [](double s, Index i, Index j) { return s + double(i - j); };
  const auto add_distance = attn::score_mod(
      [](auto s, Position at) { return s + decltype(s)(double(at.query - at.key)); });
  EXPECT_TRUE(agrees(flex.computed({}, add_distance), flex.defined(distance), 1e-13));
}

TEST(OnnxFlexAttention, AppliesScoreModsInTheirOrder) {
  const Flex flex;
  const Graph both = [](double s, Index i, Index j) {
    return 0.5 * std::tanh((s + double(i - j)) / 0.5);
  };
  const auto add_distance = attn::score_mod(
      [](auto s, Position at) { return s + decltype(s)(double(at.query - at.key)); });
  EXPECT_TRUE(
      agrees(flex.computed({}, add_distance, attn::Softcap{0.5}), flex.defined(both), 1e-13));
}

TEST(OnnxFlexAttention, DoesNotNormaliseAgain) {
  const Flex flex;
  const auto halve = attn::prob_mod([](auto p, Position) { return p * decltype(p)(0.5); });
  const Graph half = [](double p, Index, Index) { return p * 0.5; };
  EXPECT_TRUE(agrees(flex.computed({}, halve), flex.defined(none, half), 1e-13));
  EXPECT_TRUE(
      agrees(flex.computed({}, hide_future, halve), flex.defined(future_hidden, half), 1e-13));
}

TEST(OnnxFlexAttention, AsksTheProbModAboutHiddenKeysToo) {
  const Flex flex;
  const auto add = attn::prob_mod(
      [](auto p, Position at) { return p == decltype(p)(0) ? decltype(p)(double(at.key)) : p; });
  const Graph added = [](double p, Index, Index j) { return p == 0 ? double(j) : p; };
  EXPECT_TRUE(
      agrees(flex.computed({}, hide_future, add), flex.defined(future_hidden, added), 1e-12));
}

TEST(OnnxFlexAttention, GivesNaNToRowsOfMinusInfinity) {
  const Flex flex;
  const Array4 y = flex.computed({}, hide_rows);
  EXPECT_TRUE(std::isnan(y(0, 0, 1, 0)) && std::isnan(y(1, 3, 4, 2)));
  EXPECT_TRUE(agrees(y, flex.defined(rows_hidden), 1e-13));
}

TEST(OnnxFlexAttention, HandsTheNaNOfSuchRowsToTheProbMod) {
  const Flex flex;
  const auto repair =
      attn::prob_mod([](auto p, Position) { return p == p ? p : decltype(p)(0.25); });
  const Graph repaired = [](double p, Index, Index) { return p == p ? p : 0.25; };
  EXPECT_TRUE(
      agrees(flex.computed({}, hide_rows, repair), flex.defined(rows_hidden, repaired), 1e-13));
}

TEST(OnnxFlexAttention, KnowsTheLowestNumberFromMinusInfinity) {
  const Flex flex;
  constexpr double lowest = std::numeric_limits<double>::lowest();
  const auto lower =
      attn::score_mod([](auto s, Position at) { return at.query == 2 ? decltype(s)(lowest) : s; });
  const Graph lowered = [](double s, Index i, Index) { return i == 2 ? lowest : s; };
  const auto keep = attn::prob_mod([](auto p, Position) { return p; });
  EXPECT_TRUE(agrees(flex.computed({}, lower), flex.defined(lowered), 1e-13));
  EXPECT_TRUE(agrees(flex.computed({}, lower, keep), flex.defined(lowered), 1e-13));
}

TEST(OnnxFlexAttention, ReadsNoValueBehindMinusInfinity) {
  Flex flex(2, 2, 6, 6);
  const Array4 expected = flex.defined(future_hidden);
  flex.V(0, 0, 5, 1) = std::numeric_limits<double>::quiet_NaN();
  const Array4 y = flex.computed({}, hide_future);
  EXPECT_NEAR(y(0, 0, 4, 1), expected(0, 0, 4, 1), 1e-13);
  EXPECT_TRUE(std::isnan(y(0, 0, 5, 1)));
}

TEST(OnnxFlexAttention, GivesZerosWithoutKeys) {
  const Flex flex(2, 1, 4, 0);
  const Array4 zeros({2, 2, 4, 3});
  EXPECT_TRUE(agrees(flex.computed({}), zeros, 0));
  const auto keep = attn::prob_mod([](auto p, Position) { return p; });
  EXPECT_TRUE(agrees(flex.computed({}, keep), zeros, 0));
}

TEST(OnnxFlexAttention, TakesFewAndManyQueries) {
  for (const Index L : {1, 2, 140}) {
    const Flex flex(2, 1, L, 150, 33);
    EXPECT_TRUE(agrees(flex.computed({}, hide_rows), flex.defined(rows_hidden), 1e-12)) << L;
    EXPECT_TRUE(agrees(flex.computed({}, hide_future), flex.defined(future_hidden), 1e-12)) << L;
  }
}

TEST(OnnxFlexAttention, ComputesInFloatForNarrowNumbers) {
  Flex flex;
  for (Array4* a : {&flex.Q, &flex.K, &flex.V})
    for (double& x : a->numbers) x = double(Eigen::half(float(x)));
  const Array4 y = flex.computed<Eigen::half>({.softmax_precision = 10}, hide_rows);
  EXPECT_TRUE(agrees(y, flex.defined(rows_hidden), 6e-4));  // half an ulp at 1 is 4.9e-4
}

TEST(OnnxFlexAttention, GivesTheSameBitsOnTwoThreads) {
  const Flex flex(2, 1, 90, 90);
  EXPECT_EQ(flex.computed({}, hide_future, attn::Threads{2}).numbers,
            flex.computed({}, hide_future).numbers);
}

}  // namespace
