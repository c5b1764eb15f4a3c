// SPDX-License-Identifier: Apache-2.0
// Many heads in one call are the same as a loop over them.
#include <gtest/gtest.h>

#include <attn/attn.hpp>
#include <tuple>

#include "support/gradients.hpp"

namespace {

using attn::Index;
using Eigen::MatrixXd;
using Eigen::VectorXd;
using support::Case;
using support::Problem;

constexpr Case grouped{.n_q = 140, .n_k = 150, .d = 3, .d_v = 2, .heads = 6, .key_heads = 2};
constexpr attn::Heads six_on_two{.query = 6, .key_value = 2};

/// The problem of query head h alone.
Problem<> head_of(const Problem<>& p, const Case& c, Index h) {
  const Index g = h / (c.heads / c.key_heads);
  Problem<> one(Case{});
  one.Q = p.Q.middleCols(h * c.d, c.d);
  one.K = p.K.middleCols(g * c.d, c.d);
  one.V = p.V.middleCols(g * c.d_v, c.d_v);
  one.dO = p.dO.middleCols(h * c.d_v, c.d_v);
  return one;
}

/// parts_of(h) gives the parts of a call for head h alone.
template <class AllParts, class PartsOf>
void expect_a_loop(const AllParts& all, PartsOf parts_of) {
  const Problem<> p(grouped);
  std::apply(
      [&](const auto&... part) {
        const auto forward = attn::attention_forward(p.Q, p.K, p.V, six_on_two, part...);
        const auto weighted = attn::attention_with_weights(p.Q, p.K, p.V, six_on_two, part...);
        EXPECT_EQ(forward.log_sum_exp.cols(), 6);
        for (Index h = 0; h < 6; ++h) {
          const Problem<> one = head_of(p, grouped, h);
          const auto expected = std::apply(
              [&](const auto&... own) {
                return attn::reference::attend(one.Q, one.K, one.V, own...);
              },
              parts_of(h));
          EXPECT_TRUE(support::near(forward.output.middleCols(2 * h, 2), expected.output, 1e-14));
          EXPECT_TRUE(support::near(forward.log_sum_exp.col(h), expected.log_sum_exp, 1e-13));
          EXPECT_TRUE(
              support::near(weighted.weights.middleRows(140 * h, 140), expected.weights, 1e-14));
          EXPECT_TRUE(support::near(weighted.output.middleCols(2 * h, 2), expected.output, 1e-14));
        }
      },
      all);
}

TEST(Heads, AreALoop) {
  expect_a_loop(std::tuple(attn::Causal{}), [](Index) { return std::tuple(attn::Causal{}); });
}

TEST(Heads, ReadTheirOwnSlopesAndLogits) {
  const VectorXd slopes = support::random_vector(6, 5).cwiseAbs();
  const VectorXd logits = support::random_vector(6, 6);
  expect_a_loop(std::tuple(attn::Alibi{slopes}, attn::SoftmaxWithSink{logits}), [&](Index h) {
    return std::tuple(attn::Alibi{slopes(h)}, attn::SoftmaxWithSink{logits(h)});
  });
}

TEST(Heads, ReadTheirOwnBias) {
  const MatrixXd B = support::random(6 * 140, 150, 7);
  // {1, head, query, key} over a column-major matrix whose heads are stacked by rows
  const attn::TensorView<const double> by_head(B.data(), {1, 6, 140, 150}, {0, 140, 1, 840});
  expect_a_loop(std::tuple(attn::DenseBias{by_head}), [&](Index h) {
    return std::tuple(attn::DenseBias{MatrixXd(B.middleRows(140 * h, 140))});
  });
}

TEST(Heads, AreToldToUsersRules) {
  const auto by_head =
      attn::score_mod([](auto s, attn::Position at) { return s * double(1 + at.head); });
  const auto mask = attn::mask_mod([](attn::Position at) { return at.key % 6 <= at.head; });
  expect_a_loop(std::tuple(by_head, mask), [](Index h) {
    return std::tuple(attn::ScaledDotProduct{.scale = double(1 + h) / std::sqrt(3.0)},
                      attn::mask_mod([h](attn::Position at) { return at.key % 6 <= h; }));
  });
}

TEST(Heads, SumTheGradientsOfAKeyValueHeadOverItsQueries) {
  const Problem<> p(grouped);
  const auto g = support::forward_and_backward(p, std::tuple(six_on_two, attn::Causal{}));
  MatrixXd dK = MatrixXd::Zero(150, 6), dV = MatrixXd::Zero(150, 4);
  for (Index h = 0; h < 6; ++h) {
    const auto one =
        support::forward_and_backward(head_of(p, grouped, h), std::tuple(attn::Causal{}));
    EXPECT_TRUE(support::near(g.query.middleCols(3 * h, 3), one.query, 1e-13));
    dK.middleCols(3 * (h / 3), 3) += one.key;
    dV.middleCols(2 * (h / 3), 2) += one.value;
  }
  EXPECT_TRUE(support::near(g.key, dK, 1e-12));
  EXPECT_TRUE(support::near(g.value, dV, 1e-12));
}

TEST(Heads, GiveTheGradientsOfTheDefinition) {
  const Case small{.n_q = 4, .n_k = 5, .d = 2, .d_v = 3, .heads = 4, .key_heads = 2};
  support::expect_input_gradients(small, attn::Heads{.query = 4, .key_value = 2},
                                  attn::Alibi::standard(4), attn::Causal{.offset = 1});
}

TEST(Heads, OfOneAreThePlainCall) {
  const Problem<> p({});
  EXPECT_TRUE(support::same_bits(MatrixXd(attn::attention(p.Q, p.K, p.V, attn::Heads{1})),
                                 MatrixXd(attn::attention(p.Q, p.K, p.V))));
}

}  // namespace
