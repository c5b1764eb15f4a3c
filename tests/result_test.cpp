// SPDX-License-Identifier: Apache-2.0
// Merging results over disjoint sets of keys, and finishing them with a sink.
#include <gtest/gtest.h>

#include <attn/attn.hpp>
#include <limits>
#include <tuple>
#include <vector>

#include "support/compare.hpp"
#include "support/problem.hpp"

namespace {

using attn::Index;
using Eigen::MatrixXd;
using support::Case;
using support::Problem;

/// Forward over keys first .. first+count-1 of the whole.
template <class... Parts>
auto chunk(const Problem<>& p, Index first, Index count, const Parts&... parts) {
  return attn::attention_forward(p.Q, p.K.middleRows(first, count), p.V.middleRows(first, count),
                                 attn::PositionOffset{.query = 0, .key = first}, parts...);
}

template <class... Parts>
void expect_chunks_to_merge(const Case& c, const Parts&... parts) {
  SCOPED_TRACE(c);
  const Problem<> p(c);
  const auto whole = attn::attention_forward(p.Q, p.K, p.V, parts...);
  auto merged = chunk(p, 0, 0, parts...);  // the identity
  for (const auto& [first, count] : {std::pair<Index, Index>{0, 5}, {5, 1}, {6, 0}, {6, c.n_k - 6}})
    merged = attn::merge(merged, chunk(p, first, count, parts...));
  EXPECT_TRUE(support::near(merged.output, whole.output, 1e-14));
  EXPECT_TRUE(support::near(merged.log_sum_exp, whole.log_sum_exp, 1e-14));
}

TEST(Merge, OfChunksOfKeysIsTheWhole) {
  expect_chunks_to_merge({.n_q = 20, .n_k = 300});
  expect_chunks_to_merge({.n_q = 9, .n_k = 12, .heads = 4, .key_heads = 2},
                         attn::Heads{.query = 4, .key_value = 2}, attn::Softcap{2});
}

TEST(Merge, OfChunksSeesThePositionsOfTheWhole) {
  expect_chunks_to_merge({.n_q = 20, .n_k = 30}, attn::Causal{.offset = -3}, attn::Alibi{0.1});
  expect_chunks_to_merge({.n_q = 20, .n_k = 30}, attn::SlidingWindow{4, 2},
                         attn::DenseBias{support::random(20, 30, 5)});
  std::vector<int> ids(30);
  for (std::size_t k = 0; k < 30; ++k) ids[k] = int(k / 7);
  expect_chunks_to_merge(
      {.n_q = 30, .n_k = 30}, attn::Documents{ids, ids},
      attn::score_mod([](auto s, attn::Position at) { return s + 0.1 * double(at.key % 5); }));
}

TEST(Merge, WithAnEmptySideIsTheIdentityToTheBit) {
  const Problem<> p({});
  const auto some = chunk(p, 0, 9);
  const auto none = chunk(p, 0, 9, attn::Causal{.offset = -20});
  for (const auto& merged : {attn::merge(some, none), attn::merge(none, some)}) {
    EXPECT_TRUE(support::same_bits(merged.output, some.output));
    EXPECT_TRUE(support::same_bits(merged.log_sum_exp, some.log_sum_exp));
  }
  const auto nothing = attn::merge(none, none);
  EXPECT_TRUE((nothing.output.array() == 0.0).all());
  EXPECT_TRUE((nothing.log_sum_exp.array() == -std::numeric_limits<double>::infinity()).all());
}

TEST(Merge, KeepsFarApartLogitsApart) {
  const MatrixXd q = MatrixXd::Ones(1, 1), low = MatrixXd::Constant(1, 1, -1e4),
                 high = MatrixXd::Constant(1, 1, 1e4);
  const auto a = attn::attention_forward(q, low, low), b = attn::attention_forward(q, high, high);
  const auto merged = attn::merge(a, b);
  EXPECT_EQ(merged.output(0, 0), 1e4);
  EXPECT_EQ(merged.log_sum_exp(0, 0), 1e4);
}

TEST(Merge, KeepsTheNaNOfOneRowInThatRow) {
  Problem<> p({});
  p.Q(2, 0) = std::nan("");
  const auto merged = attn::merge(chunk(p, 0, 4), chunk(p, 4, 5));
  for (Index i = 0; i < 7; ++i) EXPECT_EQ(merged.output.row(i).array().isNaN().any(), i == 2);
}

TEST(Finish, AddsASinkOnceAtTheEnd) {
  const Problem<> p({.n_q = 9, .n_k = 12, .heads = 2, .key_heads = 2});
  const attn::SoftmaxWithSink sink{Eigen::VectorXd{{0.5, -1.0}}};
  const attn::Heads heads{2};
  const auto merged = attn::merge(chunk(p, 0, 5, heads, attn::Causal{.offset = -2}),
                                  chunk(p, 5, 7, heads, attn::Causal{.offset = -2}));
  const auto finished = attn::finish(merged, sink);
  const auto whole =
      attn::attention_forward(p.Q, p.K, p.V, heads, attn::Causal{.offset = -2}, sink);
  EXPECT_TRUE(support::near(finished.output, whole.output, 1e-14));
  EXPECT_TRUE(support::near(finished.log_sum_exp, whole.log_sum_exp, 1e-14));
  static_assert(std::is_same_v<decltype(finished), decltype(whole)>);
}

TEST(Forward, CanBeMadeByHand) {
  const attn::Forward made{MatrixXd(MatrixXd::Ones(2, 3)),
                           Eigen::VectorXd(Eigen::VectorXd::Zero(2))};
  const auto merged = attn::merge(made, made);
  EXPECT_TRUE(support::near(merged.output, made.output, 1e-15));
  EXPECT_NEAR(merged.log_sum_exp(1), std::log(2.0), 1e-15);
}

TEST(Gradients, AreFoundByThePartThatTheyBelongTo) {
  const Problem<> p({});
  const auto forward = attn::attention_forward(p.Q, p.K, p.V, attn::Softcap{2}, attn::Softcap{3});
  const auto g =
      attn::attention_backward(p.Q, p.K, p.V, forward, p.dO, attn::Softcap{2}, attn::Softcap{3});
  EXPECT_NE((g.of<attn::Softcap>().cap), (g.of<attn::Softcap, 1>().cap));
  EXPECT_EQ((g.of<attn::Softcap, 1>().cap), (g.parts.of<attn::Softcap, 1>().cap));
}

TEST(Merge, OfAnEmptySideKeepsNaN) {
  const Eigen::MatrixXd Q = support::random<double>(3, 4, 1), K = support::random<double>(5, 4, 2),
                        V = support::random<double>(5, 2, 3);
  const auto empty = attn::attention_forward(Q, K.topRows(0), V.topRows(0));
  auto broken = attn::attention_forward(Q, K, V);
  broken.output.row(1).setConstant(std::numeric_limits<double>::quiet_NaN());
  broken.log_sum_exp(1) = std::numeric_limits<double>::quiet_NaN();
  for (const auto& merged : {attn::merge(empty, broken), attn::merge(broken, empty)}) {
    EXPECT_TRUE(merged.output.row(1).array().isNaN().all());
    EXPECT_TRUE(std::isnan(merged.log_sum_exp(1)));
    EXPECT_EQ(merged.output.row(0), broken.output.row(0));
  }
}

TEST(Into, WritesMatricesAsTheCallsThatReturnThem) {
  const Eigen::MatrixXd Q = support::random<double>(6, 8, 1), K = support::random<double>(9, 8, 2),
                        V = support::random<double>(9, 4, 3), dO = support::random<double>(6, 4, 4);
  const attn::Heads heads{2};
  const auto forward = attn::attention_forward(Q, K, V, heads, attn::Causal{});
  const auto backward = attn::attention_backward(Q, K, V, forward, dO, heads, attn::Causal{});
  Eigen::MatrixXd O(6, 4), L(6, 2), dQ(6, 8), dK(9, 8), dV(9, 4);
  attn::attention_forward_into(O, L, Q, K, V, heads, attn::Causal{});
  const auto parts =
      attn::attention_backward_into(dQ, dK, dV, Q, K, V, forward, dO, heads, attn::Causal{});
  EXPECT_EQ(O, forward.output);
  EXPECT_EQ(L, forward.log_sum_exp);
  EXPECT_EQ(dQ, backward.query);
  EXPECT_EQ(dK, backward.key);
  EXPECT_EQ(dV, backward.value);
  EXPECT_EQ(parts.of<attn::ScaledDotProduct>().scale, backward.of<attn::ScaledDotProduct>().scale);
}

}  // namespace
