// SPDX-License-Identifier: Apache-2.0
// Heads and layers explained: head importance and rollout, and the sentences of refused calls.
#include <gtest/gtest.h>

#include <attn/attn.hpp>
#include <vector>

#include "support/batch.hpp"
#include "support/compare.hpp"
#include "support/errors.hpp"
#include "support/problem.hpp"
#include "support/random.hpp"

namespace {

using attn::Index;
using attn::ShapeError;
using attn::ValueError;
using attn::explain::Rollout;
using Eigen::MatrixXd;
using Eigen::VectorXd;
using support::expect_error;
using support::near;
using support::Problem;

TEST(HeadImportance, IsTheGradientTimesTheWeights) {
  const Problem<double> p({.n_q = 7, .n_k = 9, .heads = 4, .key_heads = 2});
  const attn::Heads heads{.query = 4, .key_value = 2};
  const auto [O, P] = attn::attention_with_weights(p.Q, p.K, p.V, heads, attn::Causal{});
  const VectorXd importance = attn::explain::head_importance(O, p.dO, heads);
  ASSERT_EQ(importance.size(), 4);
  for (Index h = 0; h < 4; ++h) {
    const MatrixXd dP =
        p.dO.middleCols(3 * h, 3) * p.V.middleCols(3 * (h / 2), 3).transpose();  // dL/dP of a head
    EXPECT_NEAR(importance(h), std::abs(P.middleRows(7 * h, 7).cwiseProduct(dP).sum()), 1e-13);
  }
}

TEST(HeadImportance, OfBatchesIsTheirMean) {
  const support::Array<float> O(support::Layout::strided, {3, 2, 5, 4}, 1);
  const support::Array<float> dO(support::Layout::bthd, {3, 2, 5, 4}, 2);
  const auto importance = attn::explain::head_importance(O.view(), dO.view());
  for (Index h = 0; h < 2; ++h) {
    double mean = 0;
    for (Index b = 0; b < 3; ++b) {
      double sum = 0;
      for (Index i = 0; i < 5; ++i)
        for (Index c = 0; c < 4; ++c) sum += O.view()(b, h, i, c) * dO.view()(b, h, i, c);
      mean += std::abs(sum) / 3;
    }
    EXPECT_NEAR(importance(h), mean, 1e-5);
  }
}

/// residual I + (1 - residual) times the mean over heads of P.
MatrixXd mixture(const MatrixXd& P, Index heads, double residual) {
  const Index n = P.cols();
  MatrixXd A = residual * MatrixXd::Identity(n, n);
  for (Index h = 0; h < heads; ++h) A += (1 - residual) / double(heads) * P.middleRows(h * n, n);
  return A;
}

TEST(Rollout, IsTheProductOfTheLayers) {
  constexpr Index n = 21, layers = 3;
  const attn::Heads heads{2};
  const attn::Causal causal;
  for (const double residual : {0.5, 0.0, 1.0}) {
    MatrixXd product = MatrixXd::Identity(n, n);
    Rollout even = Rollout::of_every_token(n, {.residual = residual});
    Rollout last = Rollout::of_token(n - 1, n, {.residual = residual});
    for (Index l = layers; l-- > 0;) {
      const Problem<double> p(
          {.n_q = n, .n_k = n, .heads = 2, .key_heads = 2, .seed = std::uint64_t(l + 1)});
      product *= mixture(attn::attention_weights(p.Q, p.K, heads, causal), 2, residual);
      even.layer(p.Q, p.K, heads, causal);
      last.layer(p.Q, p.K, heads, causal);
    }
    EXPECT_TRUE(near(even.relevance().transpose(), product.colwise().mean(), 1e-14));
    EXPECT_TRUE(near(last.relevance().transpose(), product.row(n - 1), 1e-14));
    EXPECT_NEAR(last.relevance().sum(), 1, 1e-14);
  }
}

TEST(Rollout, HalvesWithTheResidualUnlessToldOtherwise) {
  const MatrixXd Q = MatrixXd::Zero(4, 2);
  Rollout rollout = Rollout::of_token(2, 4);
  rollout.layer(Q, Q);
  EXPECT_TRUE(near(rollout.relevance(), Eigen::Vector4d(0.125, 0.125, 0.625, 0.125), 1e-15));
}

TEST(Rollout, TakesBatchesOneAboveTheOther) {
  const support::Array<double> Q(support::Layout::bhtd, {2, 1, 5, 3}, 1);
  const VectorXd weights = support::random_vector<double>(10, 2);
  Rollout both{weights};
  both.layer(Q.view(), Q.view(), attn::Causal{});
  for (Index b = 0; b < 2; ++b) {
    const Eigen::Map<const attn::explain::TopKeys<double>::Rows<double>> one(
        Q.view().pointer(b, 0, 0), 5, 3);
    Rollout alone{weights.segment(5 * b, 5)};
    alone.layer(one, one, attn::Causal{});
    EXPECT_TRUE(near(both.relevance().segment(5 * b, 5), alone.relevance(), 1e-15));
  }
}

TEST(Rollout, GoesThroughMultiHeadLayers) {
  constexpr Index n = 6;
  const attn::MultiHeadAttention<double> layer({.embed_dim = 8, .num_heads = 2}, 3);
  const MatrixXd X = support::random(n, 8, 1);
  Rollout rollout = Rollout::of_token(n - 1, n);
  layer.with_queries_and_keys([&](auto&... call) { rollout.layer(call...); }, X, attn::Causal{});
  // Rows of its weights go in the order head, query.
  const MatrixXd A = mixture(layer.weights(X, attn::Causal{}), 2, 0.5);
  EXPECT_TRUE(near(rollout.relevance().transpose(), A.row(n - 1), 1e-15));
}

const MatrixXd Q5 = support::random(5, 4, 1), K6 = support::random(6, 4, 2);

TEST(ExplainErrors, OfTheCallThatIsExplained) {
  expect_error<ValueError>("attn::explain::top_k: k is 0; it must be 1 or more",
                           [] { attn::explain::top_k(Q5, K6, 0); });
  expect_error<ShapeError>(
      "attn::explain::entropy: K has 3 columns and Q has 4; both need the same feature size d",
      [] { attn::explain::entropy(Q5, K6.leftCols(3)); });
  expect_error<ValueError>("attn::explain::column_mass: Threads is -1; it must be 0 or more",
                           [] { attn::explain::column_mass(Q5, K6, attn::Threads{-1}); });
  expect_error<ShapeError>(
      "attn::explain::weighted_column_mass: row_weights are 6 x 1 and must be 5 x 1 or 5 x 2; each "
      "query has a weight, or one a head",
      [] { attn::explain::weighted_column_mass(VectorXd::Ones(6), Q5, K6, attn::Heads{2}); });
}

TEST(ExplainErrors, OfHeadImportance) {
  expect_error<ShapeError>(
      "attn::explain::head_importance: O is 5 x 4 and dO 6 x 4; the gradient of the output has the "
      "output's shape",
      [] { attn::explain::head_importance(Q5, K6); });
  expect_error<ValueError>(
      "attn::explain::head_importance: O has 4 columns, which cannot be split into 3 heads; the "
      "head count must divide the columns",
      [] { attn::explain::head_importance(Q5, Q5, attn::Heads{3}); });
  const auto view = [](const MatrixXd& m) { return attn::view(m); };
  expect_error<ShapeError>(
      "attn::explain::head_importance: O is {1, 1, 5, 4} and dO {1, 1, 6, 4}; the gradient of the "
      "output has the output's shape",
      [&] { attn::explain::head_importance(view(Q5), view(K6)); });
  expect_error<ValueError>(
      "attn::explain::head_importance: Heads{2} is given with TensorViews, which carry their heads "
      "in their shape; leave Heads out",
      [&] { attn::explain::head_importance(view(Q5), view(Q5), attn::Heads{2}); });
}

TEST(ExplainErrors, OfRollout) {
  expect_error<ValueError>("attn::explain::Rollout: residual is 1.5; it must be between 0 and 1",
                           [] { Rollout::of_every_token(3, {.residual = 1.5}); });
  expect_error<ValueError>(
      "attn::explain::Rollout: token 3 of 3 is asked for; tokens are counted from 0",
      [] { Rollout::of_token(3, 3); });
  expect_error<ShapeError>(
      "attn::explain::Rollout: there are 5 tokens and a layer has 5 queries and 6 keys; rollout is "
      "for self-attention, where all are the same tokens",
      [] { Rollout::of_token(4, 5).layer(Q5, K6); });
}

}  // namespace
