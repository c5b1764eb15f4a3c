// SPDX-License-Identifier: Apache-2.0
// The backward pass of very few queries: every size at the borders of packs, tiles and ranges of
// keys, every layout, what is not asked for, and what is not finite.
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
using support::expect_gradients;
using support::expect_masked_gradients;
using support::expected;
using support::Gradients;
using support::near_gradient;
using support::Problem;
using support::Stored;

using support::nan;

template <class T>
constexpr Index width = attn::engine::Pack<attn::Accumulator<T>>::width;
template <class T>
const Index most = attn::engine::most_row_queries<attn::Accumulator<T>>(false);

template <class T>
class RowBackward : public testing::Test {};
using Types = testing::Types<float, double, Eigen::half, Eigen::bfloat16>;
TYPED_TEST_SUITE(RowBackward, Types);

TYPED_TEST(RowBackward, IsTheGradientForAnyNumberOfKeys) {
  using T = TypeParam;
  for (Index n_q = 1; n_q <= most<T> + 1; ++n_q)
    for (const Index n_k : {1, 3, 15, 16, 17, 127, 128, 130, 260})
      expect_gradients<T>({.n_q = n_q, .n_k = n_k, .d = 5, .d_v = 3});
}

TYPED_TEST(RowBackward, IsTheGradientForAnyNumberOfFeatures) {
  using T = TypeParam;
  for (const Index d : {Index(0), Index(1), width<T> - 1, width<T>, 4 * width<T> + 1})
    for (const Index d_v : {Index(0), Index(1), width<T>, 5 * width<T> + 2})
      for (const Index n_k : {Index(7), Index(130)})
        expect_gradients<T>({.n_q = 1, .n_k = n_k, .d = d, .d_v = d_v, .seed = 5});
}

/// Sums go along what lies side by side, so bits may differ between layouts of Q, K, V and dO, but
/// not between those of the gradients.
TYPED_TEST(RowBackward, TakesEveryLayout) {
  using T = TypeParam;
  const auto empty = [](const MatrixX<T>& m) {
    return MatrixX<T>(MatrixX<T>::Constant(m.rows(), m.cols(), T(-7)));
  };
  for (const Index n_k : {Index(9), 128 + width<T> + 1}) {
    const Problem<T> p({.n_q = 1, .n_k = n_k, .d = width<T> + 2, .d_v = 3});
    const Gradients exact = expected(p, 1 / std::sqrt(double(width<T> + 2)));
    const auto forward = attn::attention_forward(p.Q, p.K, p.V);
    for (int layouts = 0; layouts < 81; ++layouts) {
      const int a = layouts % 3, b = layouts / 3 % 3, c = layouts / 9 % 3, d = layouts / 27;
      const Stored<T> q(p.Q, a), k(p.K, b), v(p.V, c), d_output(p.dO, (a + b) % 3);
      const auto backward = [&](const auto& query, const auto& key, const auto& value) {
        attn::attention_backward_into(query, key, value, q.view, k.view, v.view,
                                      attn::view(forward.output), attn::view(forward.log_sum_exp),
                                      d_output.view);
      };
      MatrixX<T> query = empty(p.Q), key = empty(p.K), value = empty(p.V);
      backward(attn::view(query), attn::view(key), attn::view(value));
      ASSERT_TRUE(near_gradient(query, exact.query)) << "layouts " << layouts;
      ASSERT_TRUE(near_gradient(key, exact.key)) << "layouts " << layouts;
      ASSERT_TRUE(near_gradient(value, exact.value)) << "layouts " << layouts;
      Stored<T> dq(empty(p.Q), d), dk(empty(p.K), (c + d) % 3), dv(empty(p.V), (a + d) % 3);
      backward(dq.view, dk.view, dv.view);
      ASSERT_TRUE(dq.holds(query)) << "layouts " << layouts;
      ASSERT_TRUE(dk.holds(key)) << "layouts " << layouts;
      ASSERT_TRUE(dv.holds(value)) << "layouts " << layouts;
    }
  }
}

TYPED_TEST(RowBackward, OfRangesOfKeysHasTheSameBitsOnAnyNumberOfThreads) {
  using T = TypeParam;
  const Index n_k = 2 * attn::engine::row_range + 5;
  const Problem<T> p({.n_q = 1, .n_k = n_k, .d = 2, .d_v = 1, .heads = 2, .key_heads = 2});
  const attn::Heads heads{.query = 2};
  const auto forward = attn::attention_forward(p.Q, p.K, p.V, heads);
  const auto one = attn::attention_backward(p.Q, p.K, p.V, forward, p.dO, heads);
  const auto three =
      attn::attention_backward(p.Q, p.K, p.V, forward, p.dO, heads, attn::Threads{3});
  support::expect_same_gradients(one, three);
  for (Index h = 0; h < 2; ++h) {
    Problem<T> of_head({.n_q = 1, .n_k = 1, .d = 2, .d_v = 1});
    of_head.Q = p.Q.middleCols(2 * h, 2);
    of_head.K = p.K.middleCols(2 * h, 2);
    of_head.V = p.V.col(h);
    of_head.dO = p.dO.col(h);
    const Gradients exact = expected(of_head, 1 / std::sqrt(2.0));
    EXPECT_TRUE(near_gradient(MatrixX<T>(one.query.middleCols(2 * h, 2)), exact.query));
    EXPECT_TRUE(near_gradient(MatrixX<T>(one.key.middleCols(2 * h, 2)), exact.key));
    EXPECT_TRUE(near_gradient(MatrixX<T>(one.value.col(h)), exact.value));
  }
}

TYPED_TEST(RowBackward, IsTheGradientUnderAMask) {
  using T = TypeParam;
  for (const Index n_k : {Index(1), Index(20), Index(300)})
    for (Index n_q = 1; n_q <= most<T>; n_q += 2) {
      const support::Case c{.n_q = n_q, .n_k = n_k, .d = 4, .d_v = 3, .seed = 6};
      expect_masked_gradients<T>(c, attn::Causal{});
      expect_masked_gradients<T>(c, attn::Causal::bottom_right() & attn::SlidingWindow{40, 0});
      expect_masked_gradients<T>(c, attn::KeyPadding{n_k - n_k / 3});
      expect_masked_gradients<T>(c, attn::KeyPadding{0});
    }
}

TEST(RowBackwardParts, OfTheKeysAddUp) { support::expect_parts_of_keys_add_up(1, 150); }

TEST(RowBackwardNonfinite, AKeyOfMinusInfinityIsAsIfItWereNotThere) {
  for (const Index n : {4, 130}) support::expect_a_key_of_minus_infinity_is_none(1, n);
}

/// The last query sees the first key alone, so its NaN reaches no other key's gradients.
TEST(RowBackwardNonfinite, AQueryWithNaNReachesWhatItSees) {
  Problem<float> p({.n_q = 2, .n_k = 5, .d = 3, .d_v = 2});
  const auto mask = attn::mask_mod([](attn::Position at) { return at.query == 0 || at.key == 0; });
  const auto before = attn::attention_backward(
      p.Q, p.K, p.V, attn::attention_forward(p.Q, p.K, p.V, mask), p.dO, mask);
  p.Q(1, 1) = float(nan);
  const auto after = attn::attention_backward(
      p.Q, p.K, p.V, attn::attention_forward(p.Q, p.K, p.V, mask), p.dO, mask);
  EXPECT_TRUE(support::near(after.query.row(0), before.query.row(0), 1e-6));
  EXPECT_TRUE(after.query.row(1).array().isNaN().all());
  EXPECT_TRUE(after.key.row(0).array().isNaN().all());
  EXPECT_TRUE(after.value.row(0).array().isNaN().all());
  EXPECT_TRUE(support::near(after.key.bottomRows(4), before.key.bottomRows(4), 1e-6));
  EXPECT_TRUE(support::near(after.value.bottomRows(4), before.value.bottomRows(4), 1e-6));
}

TEST(RowBackwardViews, WritesOnlyWhatIsAskedFor) { support::expect_only_what_is_asked_for(1, 140); }

}  // namespace
