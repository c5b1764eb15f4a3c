// SPDX-License-Identifier: Apache-2.0
// Decoding: every layout, size and part against the definition.
#include <gtest/gtest.h>

#include <attn/attn.hpp>
#include <attn/engine/decode.hpp>
#include <cmath>
#include <limits>
#include <string>
#include <tuple>
#include <vector>

#include "support/compare.hpp"
#include "support/problem.hpp"

namespace {

using attn::Index;
using attn::MatrixX;
using attn::TensorView;
using support::Case;
using support::Problem;

/// How tokens lie in memory.
enum class Layout { by_columns, by_rows, scattered };

/// A copy of a matrix in some layout, with heads side by side.
template <class T>
struct Stored {
  std::vector<T> numbers;
  TensorView<const T> view;

  template <class M>
  Stored(const M& m, Index heads, Layout layout) {
    const Index rows = m.rows(), cols = m.cols(), gap = layout == Layout::scattered ? 2 : 1;
    const Index row = layout == Layout::by_columns ? 1 : cols * gap;
    const Index col = layout == Layout::by_columns ? rows : gap;
    numbers.assign(static_cast<std::size_t>(rows * cols * gap), T(0));
    for (Index i = 0; i < rows; ++i)
      for (Index j = 0; j < cols; ++j)
        numbers[static_cast<std::size_t>(i * row + j * col)] = static_cast<T>(m(i, j));
    const Index d = cols / heads;
    view = {numbers.data(), {1, heads, rows, d}, {0, d * col, row, col}};
  }
  MatrixX<double> wide() const {
    MatrixX<double> m(view.tokens(), view.heads() * view.features());
    for (Index i = 0; i < m.rows(); ++i)
      for (Index j = 0; j < m.cols(); ++j)
        m(i, j) = static_cast<double>(view(0, j / view.features(), i, j % view.features()));
    return m;
  }
};

template <class A>
struct Decoded {
  MatrixX<A> output;
  MatrixX<A> log_sum_exp;
};

/// run_decode with K and V of type S; Q and O of type T.
template <class T, class S, class Executor, class... Parts>
auto decode(const Stored<T>& q, const Stored<S>& k, const Stored<S>& v, const Executor& executor,
            const Parts&... parts) {
  using A = attn::Accumulator<T>;
  const Index n_q = q.view.tokens(), heads = q.view.heads(), d_v = v.view.features();
  MatrixX<T> output = MatrixX<T>::Constant(n_q, heads * d_v, T(-99.0f));
  MatrixX<A> log_sum_exp = MatrixX<A>::Constant(n_q, heads, A(-99));
  // The sizes of K and V, whose numbers are of another type.
  attn::engine::Inputs<T> in{
      q.view, {nullptr, k.view.shape, k.view.strides}, {nullptr, v.view.shape, v.view.strides}};
  attn::Workspace workspace;
  attn::engine::with_program<A>(
      n_q, k.view.tokens(),
      [&](const auto& program) {
        attn::engine::with_decode_call(in, program, workspace, [&](const auto& call) {
          using C = std::remove_cvref_t<decltype(call)>;
          static_assert(
              attn::engine::can_decode<std::remove_cvref_t<decltype(program)>, decltype(C::score)>);
          attn::engine::Outputs<T, A> out;
          out.output = attn::engine::view_columns<T>(output.data(), output, heads);
          out.log_sum_exp = attn::engine::view_columns<A>(log_sum_exp.data(), log_sum_exp, heads);
          attn::engine::run_decode(call, k.view, v.view, executor, workspace, out);
        });
      },
      parts...);
  return Decoded<A>{output.template cast<A>(), log_sum_exp};
}

/// Compares with the definition, in double, of the numbers as they are stored.
template <class T, class S = T, class... Parts>
testing::AssertionResult agrees(const Case& c, Layout layout, const Parts&... parts) {
  using A = attn::Accumulator<T>;
  const Problem<double> p(c);
  const Stored<T> q(p.Q, c.heads, layout);
  const Stored<S> k(p.K, c.key_heads, layout), v(p.V, c.key_heads, layout);
  const auto found = decode(q, k, v, attn::engine::CallingThread{}, parts...);
  const auto expected =
      attn::reference::attend(q.wide(), k.wide(), v.wide(), parts...,
                              attn::Heads{.query = c.heads, .key_value = c.key_heads});
  const double epsilon = std::is_same_v<T, A> ? double(std::numeric_limits<A>::epsilon())
                                              : double(Eigen::NumTraits<T>::epsilon());
  const double bound = epsilon * (std::is_same_v<T, A> ? 40.0 : 2.0);
  auto outputs = support::near(found.output, expected.output, bound);
  if (!outputs) return outputs << "\noutput, " << c;
  return support::near(found.log_sum_exp, expected.log_sum_exp,
                       40 * double(std::numeric_limits<A>::epsilon()) * 8)
         << "\nlog-sum-exp, " << c;
}

constexpr Layout all_layouts[] = {Layout::by_columns, Layout::by_rows, Layout::scattered};

TEST(Decode, EqualsTheDefinitionAtEverySize) {
  for (const Layout layout : all_layouts)
    for (const Index n_q : {1, 2, 3, 5, 16})
      for (const Index n_k : {1, 2, 3, 4, 5, 15, 16, 17, 64, 127, 128, 129, 300})
        for (const auto& [d, d_v] : {std::pair<Index, Index>{1, 1}, {4, 5}, {64, 16}, {37, 80}}) {
          EXPECT_TRUE(agrees<float>({n_q, n_k, d, d_v}, layout));
          EXPECT_TRUE(agrees<double>({n_q, n_k, d, d_v}, layout));
        }
}

TEST(Decode, ReadsEveryStorageType) {
  for (const Layout layout : all_layouts)
    for (const Index n_k : {1, 7, 130}) {
      EXPECT_TRUE((agrees<Eigen::half>({2, n_k, 40, 24}, layout)));
      EXPECT_TRUE((agrees<Eigen::bfloat16>({2, n_k, 40, 24}, layout)));
      EXPECT_TRUE((agrees<float, Eigen::half>({3, n_k, 40, 24}, layout)));
      EXPECT_TRUE((agrees<float, Eigen::bfloat16>({1, n_k, 33, 65}, layout)));
    }
}

TEST(Decode, MergesChunksOfKeys) {
  for (const Index n_k : {1023, 1024, 1025, 5000}) {
    EXPECT_TRUE(agrees<float>({1, n_k, 16, 8}, Layout::by_rows));
    EXPECT_TRUE(agrees<double>({3, n_k, 8, 8, 4, 2}, Layout::by_columns));
  }
}

TEST(Decode, HeadsThatShareKeysTakeOneWalk) {
  for (const Index n_q : {1, 3, 16})
    for (const auto& [heads, key_heads] :
         {std::pair<Index, Index>{8, 2}, {8, 8}, {5, 1}, {6, 2}, {40, 1}}) {
      EXPECT_TRUE(agrees<float>({n_q, 150, 16, 24, heads, key_heads}, Layout::by_rows));
      EXPECT_TRUE(agrees<float>({n_q, 150, 16, 24, heads, key_heads}, Layout::by_columns,
                                attn::SoftmaxWithSink{.logits = 0.5}));
    }
}

TEST(Decode, TakesEveryKindOfPart) {
  for (const Layout layout : {Layout::by_columns, Layout::by_rows})
    for (const Index n_q : {1, 3, 16}) {
      const Case c{n_q, 1500, 12, 10, 4, 2};
      const Index first = 1500 - n_q;
      EXPECT_TRUE(agrees<double>(c, layout, attn::Causal::bottom_right()));
      EXPECT_TRUE(agrees<double>(c, layout, attn::Causal{}));
      EXPECT_TRUE(agrees<double>(c, layout, attn::SlidingWindow{50, 3, first}));
      EXPECT_TRUE(agrees<double>(c, layout, attn::SlidingWindow{5, 0, 700}, attn::Softcap{2}));
      EXPECT_TRUE(agrees<double>(c, layout, attn::KeyPadding{{1100}}));
      EXPECT_TRUE(agrees<double>(c, layout, attn::Alibi::standard(4)));
      EXPECT_TRUE(agrees<double>(c, layout, attn::Dropout{.p = 0.3, .seed = 5}));
      EXPECT_TRUE(
          agrees<double>(c, layout, attn::DotProduct{}, attn::mask_mod([](attn::Position at) {
                           return (at.key + at.query + at.head) % 3 != 0;
                         })));
      EXPECT_TRUE(agrees<double>(c, layout, attn::PositionOffset{.query = first, .key = 0},
                                 attn::Causal{}, attn::SoftmaxWithSink{.logits = -1.0}));
    }
}

TEST(Decode, TransformsQueriesOfBilinearScores) {
  for (const Index n_q : {1, 4}) {
    const Case c{n_q, 200, 12, 10, 4, 2};
    const MatrixX<double> W = support::random<double>(12, 12, 99);
    EXPECT_TRUE(agrees<double>(c, Layout::by_rows, attn::Bilinear<double>{W}));
    EXPECT_TRUE(agrees<double>(c, Layout::by_columns, attn::Bilinear<double>{W}));
  }
}

TEST(Decode, RowsThatSeeNothingAreZero) {
  const Problem<float> p({2, 130, 8, 8});
  const Stored<float> q(p.Q, 1, Layout::by_rows), k(p.K, 1, Layout::by_rows),
      v(p.V, 1, Layout::by_rows);
  const auto first_sees_nothing = attn::mask_mod([](attn::Position at) { return at.query == 1; });
  for (const auto& found : {decode(q, k, v, attn::engine::CallingThread{}, first_sees_nothing),
                            decode(q, k, v, attn::engine::CallingThread{}, first_sees_nothing,
                                   attn::SoftmaxWithSink{.logits = 1.0})}) {
    EXPECT_TRUE((found.output.row(0).array() == 0.0f).all());
    EXPECT_EQ(found.log_sum_exp(0, 0), -std::numeric_limits<float>::infinity());
    EXPECT_TRUE((found.output.row(1).array() != 0.0f).all());
  }
  const Stored<float> none(MatrixX<float>(0, 8), 1, Layout::by_rows);
  const auto empty = decode(q, none, none, attn::engine::CallingThread{});
  EXPECT_TRUE((empty.output.array() == 0.0f).all());
  EXPECT_EQ(empty.log_sum_exp(1, 0), -std::numeric_limits<float>::infinity());
}

/// NaN and inf in one key and value, hidden from some queries.
class DecodeNonFinite : public testing::TestWithParam<std::tuple<Layout, double, Index>> {};

TEST_P(DecodeNonFinite, ReachesExactlyTheRowsThatSeeIt) {
  const auto [layout, bad, at] = GetParam();
  Problem<double> p({3, 200, 8, 8, 2, 1});
  for (const bool in_key : {true, false}) {
    MatrixX<double> K = p.K, V = p.V;
    (in_key ? K : V).row(at).setConstant(bad);
    const Stored<double> q(p.Q, 2, layout), k(K, 1, layout), v(V, 1, layout);
    const auto mask =
        attn::mask_mod([at = at](attn::Position x) { return x.key != at || x.query == 1; });
    const attn::Heads heads{.query = 2, .key_value = 1};
    const auto check = [&](const auto& found, const auto& expected) {
      EXPECT_TRUE(support::near(found.output, expected.output, 1e-13)) << in_key;
      EXPECT_TRUE(support::near(found.log_sum_exp, expected.log_sum_exp, 1e-13)) << in_key;
    };
    const attn::engine::CallingThread here;
    check(decode(q, k, v, here, mask), attn::reference::attend(p.Q, K, V, mask, heads));
    const attn::Dropout dropout{.p = 0.2, .seed = 3};
    check(decode(q, k, v, here, mask, dropout),
          attn::reference::attend(p.Q, K, V, mask, dropout, heads));
    const attn::KeyPadding padding{{at}};
    check(decode(q, k, v, here, padding), attn::reference::attend(p.Q, K, V, padding, heads));
  }
}

INSTANTIATE_TEST_SUITE_P(Numbers, DecodeNonFinite,
                         testing::Combine(testing::ValuesIn(all_layouts),
                                          testing::Values(std::numeric_limits<double>::quiet_NaN(),
                                                          std::numeric_limits<double>::infinity(),
                                                          -std::numeric_limits<double>::infinity()),
                                          testing::Values(Index(0), Index(127), Index(190))));

TEST(Decode, InfiniteScoresOfOneTokenHideIt) {
  // every feature of the key is -inf and of the query positive: a score of -inf, of itself
  const Index n_k = 40;
  MatrixX<double> Q = MatrixX<double>::Constant(1, 4, 0.5), K = support::random(n_k, 4, 1),
                  V = support::random(n_k, 4, 2);
  K.row(7).setConstant(-std::numeric_limits<double>::infinity());
  V.row(7).setConstant(std::numeric_limits<double>::quiet_NaN());
  for (const Layout layout : all_layouts) {
    const auto found = decode(Stored<double>(Q, 1, layout), Stored<double>(K, 1, layout),
                              Stored<double>(V, 1, layout), attn::engine::CallingThread{});
    EXPECT_TRUE(support::near(found.output, attn::reference::attend(Q, K, V).output, 1e-14));
  }
}

TEST(Decode, LargeScoresNeitherOverflowNorLoseTheirDifferences) {
  Problem<float> p({3, 1100, 16, 8});
  p.Q *= 1e3f;
  p.K *= 1e3f;
  const Stored<float> q(p.Q, 1, Layout::by_rows), k(p.K, 1, Layout::by_rows),
      v(p.V, 1, Layout::by_rows);
  const auto found = decode(q, k, v, attn::engine::CallingThread{});
  const auto expected = attn::reference::attend(p.Q, p.K, p.V);
  EXPECT_TRUE(support::near(found.output, expected.output, 0.05));
  EXPECT_TRUE(found.output.allFinite());
}

TEST(Decode, BitsDoNotDependOnThreads) {
  const Case c{2, 9000, 16, 16, 4, 2};
  const Problem<float> p(c);
  const Stored<float> q(p.Q, 4, Layout::by_rows), k(p.K, 2, Layout::by_rows),
      v(p.V, 2, Layout::by_rows);
  const auto one = decode(q, k, v, attn::engine::CallingThread{});
  for (const Index n : {2, 3, 7}) {
    const auto many = decode(q, k, v, attn::Threads{n});
    EXPECT_TRUE(support::same_bits(one.output, many.output));
    EXPECT_TRUE(support::same_bits(one.log_sum_exp, many.log_sum_exp));
  }
}

/// Counts how often it is asked about keys.
struct CountingWindow : attn::SlidingWindow {
  Index* asked;
  attn::Verdict verdict(const attn::Tile& t) const {
    ++*asked;
    return attn::SlidingWindow::verdict(t);
  }
};

TEST(Decode, WindowOverManyKeysAsksAFewQuestions) {
  const Index n_k = 1 << 20;
  const Stored<float> q(MatrixX<float>::Ones(1, 1), 1, Layout::by_rows),
      k(MatrixX<float>::Ones(n_k, 1), 1, Layout::by_rows);
  Index asked = 0;
  CountingWindow window;
  window.left = 1000;
  window.right = 0;
  window.offset = n_k - 1;
  window.asked = &asked;
  const auto found = decode(q, k, k, attn::engine::CallingThread{}, window);
  EXPECT_NEAR(double(found.log_sum_exp(0, 0)), std::log(1001.0) + 1.0, 1e-5);
  EXPECT_LT(asked, 2000);  // one for each chunk and, in two tiles at the edges, one a key
}

}  // namespace
