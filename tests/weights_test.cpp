// SPDX-License-Identifier: Apache-2.0
// Calls that return the weights, on every path: loops, small heads, decoding, tiles.
#include <gtest/gtest.h>

#include <algorithm>
#include <attn/attn.hpp>
#include <limits>
#include <type_traits>
#include <vector>

#include "support/batch.hpp"
#include "support/compare.hpp"
#include "support/problem.hpp"

namespace {

using attn::Index;
using attn::MatrixX;
using attn::TensorView;
using support::Case;
using support::Problem;

/// How the weights lie in memory.
enum class Layout { by_rows, by_columns, scattered };
constexpr Layout all_layouts[] = {Layout::by_rows, Layout::by_columns, Layout::scattered};

/// Room for the weights of some heads, NaN before they are written, between numbers that nobody may
/// touch.
template <class T>
struct Weights {
  static constexpr float untouched = -99;
  std::vector<T> numbers;
  TensorView<T> view;

  Weights(const Case& c, Layout layout) {
    const Index gap = layout == Layout::scattered ? 3 : 1, margin = 2 * gap;
    const bool by_columns = layout == Layout::by_columns;
    const Index row = by_columns ? 1 : (c.n_k + margin) * gap;
    const Index col = by_columns ? c.n_q + margin : gap;
    const Index head = (c.n_q + margin) * (c.n_k + margin) * gap;
    numbers.assign(static_cast<std::size_t>(c.heads * head + 2 * margin), T(untouched));
    view = {numbers.data() + margin, {1, c.heads, c.n_q, c.n_k}, {0, head, row, col}};
    for (Index h = 0; h < c.heads; ++h)
      for (Index i = 0; i < c.n_q; ++i)
        for (Index j = 0; j < c.n_k; ++j) view(0, h, i, j) = std::numeric_limits<T>::quiet_NaN();
  }
  Index count_untouched() const { return std::count(numbers.begin(), numbers.end(), T(untouched)); }
};

/// What rounding a weight to T may cost, or computing it in T.
template <class T>
constexpr double bound = 60 * double(std::numeric_limits<T>::epsilon());
template <>
constexpr double bound<Eigen::half> = 0x1p-11;
template <>
constexpr double bound<Eigen::bfloat16> = 0x1p-8;

/// Whether what is hidden, or dropped, has a weight of exactly zero, and nothing else has.
template <class T>
bool same_zeros(const MatrixX<T>& weights, const MatrixX<double>& expected) {
  return ((weights.array() == T(0)) == (expected.array() == 0.0)).all();
}

/// Both results in one call, and the weights alone, against the definition.
template <class T, class... Parts>
void expect_definition(const Case& c, Layout layout, const Parts&... parts) {
  SCOPED_TRACE(c);
  const Problem<T> p(c);
  const attn::Heads heads{.query = c.heads, .key_value = c.key_heads};
  const auto expected =
      attn::reference::attend<double>(p.Q.template cast<double>(), p.K.template cast<double>(),
                                      p.V.template cast<double>(), parts..., heads);
  const auto both = attn::attention_with_weights(p.Q, p.K, p.V, parts..., heads);
  EXPECT_TRUE(support::near(both.output, expected.output, 2 * bound<T>));
  EXPECT_TRUE(support::near(both.weights, expected.weights, bound<T>));
  EXPECT_TRUE(same_zeros(both.weights, expected.weights));
  Weights<T> alone(c, layout);
  attn::attention_weights_into(alone.view, attn::view(p.Q, attn::Heads{c.heads}),
                               attn::view(p.K, attn::Heads{c.key_heads}), parts...);
  EXPECT_TRUE(support::near(support::stacked(alone.view), expected.weights, bound<T>));
  EXPECT_TRUE(same_zeros(support::stacked(alone.view), expected.weights));
  EXPECT_EQ(alone.count_untouched(), Index(alone.numbers.size()) - c.heads * c.n_q * c.n_k);
}

TEST(Weights, AreTheDefinitionAtTheBordersOfEveryPath) {
  for (const Index n_q : {1, 3, 4, 6, 7, 16, 17})
    for (const Index n_k : {1, 2, 4, 8, 9, 96, 97, 511, 512})
      for (const auto& [d, d_v] : {std::pair<Index, Index>{4, 5}, {31, 2}, {32, 2}, {65, 2}}) {
        const Layout layout = all_layouts[(n_q + n_k + d) % 3];
        expect_definition<float>({n_q, n_k, d, d_v, 2, 1}, layout);
        if (n_k < 512) expect_definition<double>({n_q, n_k, d, d_v, 2, 2}, layout);
      }
  constexpr Index most = attn::engine::direct_panels * attn::engine::panel_width<float>;
  for (const Index n_q : {most, most + 1}) expect_definition<float>({n_q, 9, 4, 3, 2, 1}, {});
}

TEST(Weights, AreNarrowWhereTheNumbersAre) {
  for (const Layout layout : all_layouts)
    for (const Index n_q : {1, 4, 20})
      for (const Index n_k : {3, 50, 600}) {
        expect_definition<Eigen::half>({n_q, n_k, 16, 4}, layout);
        expect_definition<Eigen::bfloat16>({n_q, n_k, 16, 4}, layout);
      }
}

TEST(Weights, OfManyKeysAreThoseOfAllTheirChunks) {
  for (const Layout layout : all_layouts)
    for (const Index n_k : {1024, 1025, 3001})
      expect_definition<float>({2, n_k, 8, 3, 4, 2}, layout);
}

TEST(Weights, HiddenKeysHaveNone) {
  for (const Layout layout : all_layouts)
    for (const Index n_k : {40, 2500}) {
      const Case c{3, n_k, 8, 4, 2, 1};
      expect_definition<float>(c, layout, attn::Causal::bottom_right());
      expect_definition<float>(c, layout, attn::SlidingWindow{.left = 5, .right = 5, .offset = 20});
    }
}

TEST(Weights, ComeAfterModifiersAndSinks) {
  for (const Layout layout : all_layouts)
    for (const Index n_k : {5, 40, 2500}) {
      const Case c{3, n_k, 8, 4, 2, 1};
      expect_definition<float>(c, layout, attn::SoftmaxWithSink{.logits = 0.5});
      expect_definition<float>(c, layout, attn::Alibi::standard(2),
                               attn::Dropout{.p = 0.3, .seed = 7});
    }
}

TEST(Weights, AreTheSameBitsForAnyNumberOfThreads) {
  for (const auto& [n_q, n_k] : {std::pair<Index, Index>{3, 5000}, {20, 30}, {300, 200}}) {
    const Case c{n_q, n_k, 16, 4, 4, 4};
    const Problem<float> p(c);
    const attn::Heads heads{4};
    const auto one = attn::attention_with_weights(p.Q, p.K, p.V, heads);
    for (const int threads : {2, 3}) {
      const auto some = attn::attention_with_weights(p.Q, p.K, p.V, heads, attn::Threads{threads});
      EXPECT_TRUE(support::same_bits(some.weights, one.weights)) << c;
      EXPECT_TRUE(support::same_bits(some.output, one.output)) << c;
    }
  }
}

/// A score of -inf gives a weight of exactly zero, and a row of them zeros.
TEST(Weights, OfMinusInfinityAreZero) {
  for (const Index n_q : {2, 20})
    for (const Index n_k : {2, 30, 600}) {
      Problem<float> p({.n_q = n_q, .n_k = n_k, .d = 4, .d_v = 4});
      p.K.row(0).setConstant(-std::numeric_limits<float>::infinity());
      p.Q.setOnes();
      const auto some = attn::attention_with_weights(p.Q, p.K, p.V);
      EXPECT_EQ(some.weights.col(0), Eigen::VectorXf::Zero(n_q));
      EXPECT_TRUE(support::near(some.weights.rowwise().sum(), Eigen::VectorXf::Ones(n_q), 1e-5));
      p.K.setConstant(-std::numeric_limits<float>::infinity());
      const auto none = attn::attention_with_weights(p.Q, p.K, p.V);
      EXPECT_EQ(none.weights, MatrixX<float>::Zero(n_q, n_k));
      EXPECT_EQ(none.output, MatrixX<float>::Zero(n_q, 4));
    }
}

/// NaN in a query is in all of its weights, NaN in a key in all rows, but for scores of -inf.
TEST(Weights, OfNaNAreNaN) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  for (const Index n_q : {2, 20})
    for (const Index n_k : {2, 30, 600}) {
      Problem<float> p({.n_q = n_q, .n_k = n_k, .d = 4, .d_v = 4});
      p.Q(1, 2) = nan;
      const auto found = attn::attention_weights(p.Q, p.K);
      EXPECT_TRUE(found.row(0).allFinite());
      EXPECT_TRUE(found.row(1).array().isNaN().all());
      p.Q.setOnes();
      p.K.row(0).setConstant(-std::numeric_limits<float>::infinity());
      p.K(1, 0) = nan;
      const auto mixed = attn::attention_weights(p.Q, p.K);
      EXPECT_EQ(mixed.col(0), Eigen::VectorXf::Zero(n_q));
      EXPECT_TRUE(mixed.rightCols(n_k - 1).array().isNaN().all());
    }
}

}  // namespace
