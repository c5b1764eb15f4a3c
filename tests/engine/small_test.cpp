// SPDX-License-Identifier: Apache-2.0
// Small heads: every size at the borders of the path, every layout, and what is not finite.
#include <gtest/gtest.h>

#include <algorithm>
#include <attn/attn.hpp>
#include <cmath>
#include <limits>
#include <type_traits>
#include <vector>

#include "support/accuracy.hpp"
#include "support/compare.hpp"
#include "support/nonfinite.hpp"
#include "support/problem.hpp"
#include "support/stored.hpp"

namespace {

using attn::Index;
using attn::MatrixX;
using attn::TensorView;
using attn::engine::ForwardPath;
using support::Case;
using support::Problem;
using support::Stored;

using support::infinity;
using support::nan;

template <class T>
constexpr Index width = attn::engine::Pack<T>::width;
template <class T>
constexpr Index panel = attn::engine::panel_width<T>;

/// The path of attention(Q, K, V) without further parts.
template <class T>
ForwardPath path_of(const Problem<T>& p) {
  return attn::engine::with_program<T>(p.Q.rows(), p.K.rows(), [&](const auto& program) {
    using Program = std::remove_cvref_t<decltype(program)>;
    return attn::engine::forward_path<Program>(
        attn::engine::Inputs<T>{attn::view(p.Q), attn::view(p.K), attn::view(p.V)});
  });
}

template <class T>
void expect_accuracy(const Case& c) {
  SCOPED_TRACE(c);
  const Problem<T> p(c);
  EXPECT_TRUE(support::accurate(MatrixX<T>(attn::attention(p.Q, p.K, p.V)), p));
}

template <class T>
class SmallHead : public testing::Test {};
using Scalars = testing::Types<float, double>;
TYPED_TEST_SUITE(SmallHead, Scalars);

TYPED_TEST(SmallHead, KeepsItsAccuracyAtTheBordersOfItsPath) {
  using T = TypeParam;
  const Index w = width<T>, n = panel<T>;
  for (const Index n_q : {Index(3), Index(4), w - 1, w, w + 1, n, n + 1, 4 * n, 4 * n + 1})
    for (const Index n_k : {0, 1, 9, 96, 97})
      expect_accuracy<T>({.n_q = n_q, .n_k = n_k, .d = 4, .d_v = 5, .seed = 3});
  for (const Index n_k : {7, 8, 9})
    for (const Index d : {31, 32, 65})
      for (const Index n_q : {1, 3, 6, 7})
        expect_accuracy<T>({.n_q = n_q, .n_k = n_k, .d = d, .d_v = 3, .seed = 4});
}

TYPED_TEST(SmallHead, OfATinyProblemKeepsItsAccuracy) {
  for (const Index n_q : {1, 2, 3, 4, 5})
    for (const Index n_k : {0, 1, 2, 4, 5})
      for (const Index d : {0, 1, 3, 4, 5, 33})
        expect_accuracy<TypeParam>({.n_q = n_q, .n_k = n_k, .d = d, .d_v = d + 1, .seed = 5});
}

TYPED_TEST(SmallHead, TakesItsOwnPath) {
  const auto path = [](Index n_q, Index n_k, Index d) {
    return path_of(Problem<TypeParam>({.n_q = n_q, .n_k = n_k, .d = d, .d_v = d}));
  };
  EXPECT_EQ(path(1, 1, 200), ForwardPath::loops);  // a single row is one of neighbouring features
  EXPECT_EQ(path(2, 2, 4), ForwardPath::loops);
  EXPECT_EQ(path(2, 2, 5), ForwardPath::small);
  EXPECT_EQ(path(3, 8, 31), ForwardPath::small);
  EXPECT_EQ(path(3, 8, 32), ForwardPath::decoding);
  EXPECT_EQ(path(3, 9, 4), ForwardPath::decoding);
  EXPECT_EQ(path(6, 96, 64), ForwardPath::small);
  EXPECT_EQ(path(6, 96, 65), ForwardPath::decoding);
  EXPECT_EQ(path(7, 96, 300), ForwardPath::small);
  EXPECT_EQ(path(7, 97, 4), ForwardPath::tiles);
  EXPECT_EQ(path(4 * panel<TypeParam>, 96, 4), ForwardPath::small);
  EXPECT_EQ(path(4 * panel<TypeParam> + 1, 96, 4), ForwardPath::tiles);
}

/// The bits of O and nothing else change, however Q, K, V and O lie in memory.
template <class T>
void expect_the_bits_of_any_layout(const Case& c) {
  SCOPED_TRACE(c);
  const Problem<T> p(c);
  const auto expected = attn::attention_forward(p.Q, p.K, p.V);
  for (int layouts = 0; layouts < 81; ++layouts) {
    const Stored<T> q(p.Q, layouts % 3), k(p.K, layouts / 3 % 3), v(p.V, layouts / 9 % 3);
    Stored<T> o(MatrixX<T>::Constant(c.n_q, c.d_v, T(-7)), layouts / 27);
    MatrixX<T> L(c.n_q, 1);
    attn::attention_forward_into(o.view, attn::view(L), q.view, k.view, v.view);
    ASSERT_TRUE(o.holds(expected.output)) << "layouts " << layouts;
    EXPECT_EQ(L, expected.log_sum_exp);
  }
}

TYPED_TEST(SmallHead, HasTheSameBitsInEveryLayout) {
  using T = TypeParam;
  expect_the_bits_of_any_layout<T>({.n_q = 5, .n_k = 11, .d = 5, .d_v = 3});
  expect_the_bits_of_any_layout<T>(
      {.n_q = width<T> + 3, .n_k = 8, .d = 3, .d_v = panel<T> + width<T> + 1});
  expect_the_bits_of_any_layout<T>({.n_q = panel<T> + 1, .n_k = 3, .d = width<T>, .d_v = 4});
}

TYPED_TEST(SmallHead, OfManyHasTheSameBitsOnAnyNumberOfThreads) {
  using T = TypeParam;
  const Problem<T> p({.n_q = 9, .n_k = 12, .d = 4, .d_v = 3, .heads = 6, .key_heads = 2});
  const attn::Heads heads{.query = 6, .key_value = 2};
  const MatrixX<T> O = attn::attention(p.Q, p.K, p.V, heads);
  EXPECT_EQ(O, attn::attention(p.Q, p.K, p.V, heads, attn::Threads{3}));
  for (Index h = 0; h < 6; ++h) {
    const MatrixX<T> Q = p.Q.middleCols(4 * h, 4), K = p.K.middleCols(h / 3 * 4, 4),
                     V = p.V.middleCols(h / 3 * 3, 3);
    EXPECT_EQ(attn::attention(Q, K, V), O.middleCols(3 * h, 3)) << "head " << h;
  }
}

template <class T, class Normalizer>
void expect_the_definition(const Problem<T>& p, const Normalizer& normalizer) {
  const attn::DotProduct score;
  const auto expected = attn::reference::attend(p.Q, p.K, p.V, score, normalizer);
  const auto found = attn::attention_forward(p.Q, p.K, p.V, score, normalizer);
  const double bound = 100 * double(std::numeric_limits<T>::epsilon());
  EXPECT_TRUE(support::near(found.output, expected.output, bound));
  EXPECT_TRUE(support::near(found.log_sum_exp, expected.log_sum_exp, 10 * bound));
}

/// Scores of -inf hide what V holds; those of NaN and inf reach their own row.
template <class T>
void expect_what_the_definition_says(const Case& c) {
  SCOPED_TRACE(c);
  const Problem<T> clean(c);
  Problem<T> p = clean;
  p.K(1, 0) = T(infinity);  // a score of -inf for queries 1 and 2, of inf for the others
  p.Q.col(0).setOnes();
  p.Q.col(0).segment(1, 2).setConstant(T(-1));
  expect_the_definition(p, attn::Softmax{});
  p.V.row(1).setConstant(T(nan));
  p.V(0, 0) = T(infinity);
  expect_the_definition(p, attn::Softmax{});
  expect_the_definition(p, attn::SoftmaxWithSink{0.5});
  p.K.col(0).setConstant(T(infinity));  // nothing is left for queries 1 and 2
  expect_the_definition(p, attn::Softmax{});
  expect_the_definition(p, attn::SoftmaxWithSink{0.5});
  p = clean;
  p.Q(2, 1) = T(nan);
  expect_the_definition(p, attn::Softmax{});
  p.Q(2, 1) = T(0);
  p.K(1, 1) = T(nan);
  expect_the_definition(p, attn::Softmax{});
}

TYPED_TEST(SmallHead, TreatsWhatIsNotFiniteAsTheDefinitionSays) {
  using T = TypeParam;
  expect_what_the_definition_says<T>({.n_q = 3, .n_k = 8, .d = 4, .d_v = 3});
  expect_what_the_definition_says<T>({.n_q = 5, .n_k = 13, .d = 4, .d_v = 3});
  expect_what_the_definition_says<T>({.n_q = panel<T> + 2, .n_k = 5, .d = 9, .d_v = 2});
}

TYPED_TEST(SmallHead, OfTwoByTwoTreatsWhatIsNotFiniteAsTheDefinitionSays) {
  using T = TypeParam;
  Problem<T> p({.n_q = 2, .n_k = 2, .d = 2, .d_v = 2});
  p.Q << T(1), T(2), T(-1), T(3);
  p.K(1, 0) = T(infinity);
  p.V(1, 1) = T(nan);
  expect_the_definition(p, attn::Softmax{});
  expect_the_definition(p, attn::SoftmaxWithSink{0.5});
}

TEST(SmallHeadOfHalf, IsThatOfFloatRounded) {
  const Problem<float> p({.n_q = 7, .n_k = 10, .d = 6, .d_v = 5});
  const auto half = [](const attn::MatrixX<float>& m) { return m.cast<Eigen::half>().eval(); };
  const auto wide = [&](const attn::MatrixX<float>& m) { return half(m).cast<float>().eval(); };
  const auto O = attn::attention(half(p.Q), half(p.K), half(p.V));
  EXPECT_EQ(O.cast<float>().eval(), wide(attn::attention(wide(p.Q), wide(p.K), wide(p.V))));
}

}  // namespace
