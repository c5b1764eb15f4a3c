// SPDX-License-Identifier: Apache-2.0
// The micro-kernels against loops, for every number of packs and every tail.
#include <gtest/gtest.h>

#include <attn/engine/kernel.hpp>
#include <limits>
#include <vector>

namespace {

using attn::Index;
using attn::engine::grouped;
using attn::engine::key_group;
using attn::engine::Pack;
using attn::engine::panel_packs;
using attn::engine::panel_width;

template <class A>
class Kernel : public testing::Test {
 protected:
  /// Small whole numbers: every sum is exact, in any order.
  std::vector<A> numbers(Index count) {
    std::vector<A> result(static_cast<std::size_t>(count));
    for (A& x : result) x = A((next_ = (next_ * 37 + 11) % 101) % 13 - 6);
    return result;
  }

 private:
  int next_ = 1;
};
using Scalars = testing::Types<float, double>;
TYPED_TEST_SUITE(Kernel, Scalars);

TYPED_TEST(Kernel, ScoresAreProductsAndTheMaximumIgnoresPadding) {
  using A = TypeParam;
  constexpr Index W = Pack<A>::width, stride = panel_width<A>;
  for (Index packs = 1; packs <= panel_packs; ++packs)
    for (const Index keys : {Index(1), key_group - 1, key_group, 2 * key_group + 1})
      for (const Index d : {1, 3, 20}) {
        const auto q = this->numbers(d * packs * W);
        auto k = this->numbers(grouped(keys) * d);
        std::vector<A> s(std::size_t(grouped(keys) * stride)), m(std::size_t(stride), A(-3));
        attn::engine::score_panel(packs, q.data(), k.data(), d, keys, s.data(),
                                  attn::engine::FindMaximum<A>{m.data()});
        for (Index i = 0; i < packs * W; ++i) {
          A most = A(-3);
          for (Index j = 0; j < keys; ++j) {
            A sum = 0;
            for (Index f = 0; f < d; ++f)
              sum += q[std::size_t(f * packs * W + i)] *
                     k[std::size_t(j / key_group * key_group * d + f * key_group + j % key_group)];
            most = std::max(most, sum);
            ASSERT_EQ(s[std::size_t(j * stride + i)], sum) << packs << ' ' << keys << ' ' << d;
          }
          ASSERT_EQ(m[std::size_t(i)], most) << packs << ' ' << keys << ' ' << d;
        }
      }
}

TYPED_TEST(Kernel, ScoresAreModifiedBeforeTheirMaximumIsTaken) {
  using A = TypeParam;
  constexpr Index W = Pack<A>::width, stride = panel_width<A>, d = 5;
  for (Index packs = 1; packs <= panel_packs; ++packs)
    for (const Index keys : {Index(1), key_group - 1, key_group, 2 * key_group + 1}) {
      const auto q = this->numbers(d * packs * W);
      const auto k = this->numbers(grouped(keys) * d);
      std::vector<A> s(std::size_t(grouped(keys) * stride)), plain = s;
      std::vector<A> m(std::size_t(stride), A(-99));
      attn::engine::score_panel(packs, q.data(), k.data(), d, keys, plain.data(),
                                attn::engine::AsTheyAre());
      const auto modify = [](const Pack<A>& score, Index query, Index key) {
        return score - Pack<A>(A(10 * query + 3 * key));
      };
      attn::engine::score_panel(packs, q.data(), k.data(), d, keys, s.data(),
                                attn::engine::ModifyScores<A, decltype(modify)>{modify, m.data()});
      for (Index i = 0; i < packs * W; ++i) {
        A most = A(-99);
        for (Index j = 0; j < keys; ++j) {
          const A score = plain[std::size_t(j * stride + i)] - A(10 * (i / W * W) + 3 * j);
          most = std::max(most, score);
          ASSERT_EQ(s[std::size_t(j * stride + i)], score) << packs << ' ' << keys;
        }
        ASSERT_EQ(m[std::size_t(i)], most) << packs << ' ' << keys;
      }
    }
}

TYPED_TEST(Kernel, OutputsAreRescaledAndAddedTo) {
  using A = TypeParam;
  constexpr Index W = Pack<A>::width, stride = panel_width<A>;
  for (Index packs = 1; packs <= panel_packs; ++packs)
    for (const Index cols : {Index(1), key_group, key_group + 3})
      for (const Index keys : {1, 5, 64}) {
        const auto p = this->numbers(keys * stride), v = this->numbers(grouped(cols) * keys);
        const auto before = this->numbers(grouped(cols) * packs * W);
        const auto rescale = this->numbers(packs * W);
        auto after = before;
        attn::engine::add_panel<true>(packs, p.data(), v.data(), keys, cols, after.data(),
                                      rescale.data());
        for (Index c = 0; c < cols; ++c)
          for (Index i = 0; i < packs * W; ++i) {
            A sum = before[std::size_t(c * packs * W + i)] * rescale[std::size_t(i)];
            for (Index j = 0; j < keys; ++j)
              sum +=
                  p[std::size_t(j * stride + i)] *
                  v[std::size_t(c / key_group * key_group * keys + j * key_group + c % key_group)];
            ASSERT_EQ(after[std::size_t(c * packs * W + i)], sum) << packs << ' ' << cols;
          }
      }
}

TYPED_TEST(Kernel, TransposedProductsTouchNoRowBehindTheLastKey) {
  using A = TypeParam;
  constexpr Index W = Pack<A>::width, stride = panel_width<A>;
  for (const Index columns : {W, 2 * W, 3 * W, 5 * W})
    for (const Index keys : {Index(1), key_group, key_group + 1})
      for (const Index queries : {Index(1), W + 1, stride}) {
        const auto x = this->numbers(queries * columns);
        const auto p = this->numbers(grouped(keys) * stride);
        const auto before = this->numbers(grouped(keys) * columns);
        auto after = before;
        attn::engine::add_panel_transposed(x.data(), columns, p.data(), queries, keys, after.data(),
                                           columns);
        for (Index j = 0; j < grouped(keys); ++j)
          for (Index c = 0; c < columns; ++c) {
            A sum = before[std::size_t(j * columns + c)];
            if (j < keys)
              for (Index i = 0; i < queries; ++i)
                sum += x[std::size_t(i * columns + c)] * p[std::size_t(j * stride + i)];
            ASSERT_EQ(after[std::size_t(j * columns + c)], sum) << columns << ' ' << keys;
          }
      }
}

TYPED_TEST(Kernel, APanelIsSpreadEvenly) {
  using A = TypeParam;
  for (Index queries = 1; queries < 5 * panel_width<A>; ++queries) {
    const attn::engine::Panels<A> panels(queries);
    Index next = 0, fewest = panel_packs, most = 0;
    for (Index p = 0; p < panels.count(); ++p) {
      EXPECT_EQ(panels[p].first, next);
      EXPECT_EQ((panels[p].count + Pack<A>::width - 1) / Pack<A>::width, panels[p].packs);
      next += panels[p].count;
      fewest = std::min(fewest, panels[p].packs);
      most = std::max(most, panels[p].packs);
    }
    EXPECT_EQ(next, queries);
    EXPECT_LE(most - fewest, 1) << queries;
    EXPECT_LE(most, panel_packs);
  }
}

}  // namespace
