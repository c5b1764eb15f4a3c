// SPDX-License-Identifier: Apache-2.0
// Attention as a value: the same calls as members, with the parts stored.
#include <gtest/gtest.h>

#include <attn/attn.hpp>

#include "support/compare.hpp"
#include "support/problem.hpp"

namespace {

using Eigen::MatrixXd;
using support::Problem;

const attn::Attention mechanism{attn::Causal{.offset = 2}, attn::Softcap{3},
                                attn::SoftmaxWithSink{0.5}};

TEST(Mechanism, HasTheCallsOfTheFunctionsAsMembers) {
  const Problem<> p({});
  const auto& [Q, K, V, dO] = p;
  const attn::Causal mask{.offset = 2};
  const attn::Softcap cap{3};
  const attn::SoftmaxWithSink sink{0.5};
  EXPECT_TRUE(support::same_bits(mechanism(Q, K, V), attn::attention(Q, K, V, mask, cap, sink)));
  EXPECT_TRUE(
      support::same_bits(mechanism.weights(Q, K), attn::attention_weights(Q, K, mask, cap, sink)));
  const auto weighted = mechanism.with_weights(Q, K, V);
  EXPECT_TRUE(support::same_bits(weighted.weights, mechanism.weights(Q, K)));
  EXPECT_TRUE(support::near(weighted.output, mechanism(Q, K, V), 1e-15));
  MatrixXd O(7, 3);
  mechanism.into(O, Q, K, V);
  EXPECT_TRUE(support::same_bits(O, mechanism(Q, K, V)));
  const auto forward = mechanism.forward(Q, K, V);
  EXPECT_TRUE(support::same_bits(forward.output, O));
  const auto g = mechanism.backward(Q, K, V, forward, dO);
  const auto expected = attn::attention_backward(Q, K, V, forward, dO, mask, cap, sink);
  EXPECT_TRUE(support::same_bits(g.query, expected.query));
  EXPECT_TRUE(support::same_bits(g.key, expected.key));
  EXPECT_TRUE(support::same_bits(g.value, expected.value));
  EXPECT_EQ(g.of<attn::Softcap>().cap, expected.of<attn::Softcap>().cap);
}

TEST(Mechanism, TakesFurtherArguments) {
  const Problem<> p({.n_q = 300, .n_k = 100});
  attn::Workspace workspace;
  const MatrixXd O = mechanism(p.Q, p.K, p.V);
  EXPECT_TRUE(support::same_bits(mechanism(p.Q, p.K, p.V, workspace), O));
  EXPECT_TRUE(support::same_bits(mechanism(p.Q, p.K, p.V, attn::Threads{3}, workspace), O));
  MatrixXd into(300, 3);
  mechanism.into(into, p.Q, p.K, p.V, workspace);
  EXPECT_TRUE(support::same_bits(into, O));
  mechanism.into(into.topRows(300), p.Q, p.K, p.V, attn::Threads{2});
  EXPECT_TRUE(support::same_bits(into, O));
}

TEST(Mechanism, IsCopyableAndKeepsItsParts) {
  const Problem<> p({});
  MatrixXd B = support::random(7, 9, 6);
  const attn::Attention first{attn::DenseBias{B}};
  const MatrixXd O = first(p.Q, p.K, p.V);
  const auto copy = first;
  B.setZero();
  EXPECT_TRUE(support::same_bits(copy(p.Q, p.K, p.V), O));
}

TEST(Mechanism, WithoutPartsIsScaledDotProductAttention) {
  const Problem<> p({});
  const attn::Attention plain;
  EXPECT_TRUE(support::same_bits(plain(p.Q, p.K, p.V), attn::attention(p.Q, p.K, p.V)));
}

TEST(Mechanism, FollowsAMapThatItRefersTo) {
  const Problem<> p({});
  MatrixXd W = support::random(5, 5, 6);
  const attn::Attention refers{attn::Bilinear{Eigen::Map<const MatrixXd>(W.data(), 5, 5)}};
  const MatrixXd before = refers(p.Q, p.K, p.V);
  W *= 2;
  EXPECT_FALSE(support::near(refers(p.Q, p.K, p.V), before, 1e-3));
}

}  // namespace
