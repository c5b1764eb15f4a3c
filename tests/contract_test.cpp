// SPDX-License-Identifier: Apache-2.0
// The calls of the documentation, as users write them: every name, form and conversion compiles.
#include <gtest/gtest.h>

#include <attn/attn.hpp>
#include <cmath>
#include <string>
#include <string_view>
#include <thread>
#include <unsupported/Eigen/CXX11/ThreadPool>
#include <vector>

#include "support/compare.hpp"
#include "support/problem.hpp"

namespace {

using Eigen::MatrixXf;
using Eigen::VectorXf;
using support::Case;
using support::Problem;

/// Eight heads of four features; K and V also serve as two heads of sixteen.
class Contract : public testing::Test {
 protected:
  Problem<float> p_{{.n_q = 6, .n_k = 6, .d = 4, .d_v = 4, .heads = 8, .key_heads = 8}};
  MatrixXf Q = p_.Q, K = p_.K, V = p_.V, dO = p_.dO;

  template <class... Parts>
  void expect_reference(const MatrixXf& O, const Parts&... parts) {
    EXPECT_TRUE(support::near(O, attn::reference::attend(Q, K, V, parts...).output, 1e-5));
  }
};

TEST_F(Contract, OneCall) {
  const MatrixXf Wq = support::random<float>(32, 5, 1), Wk = support::random<float>(32, 5, 2);
  const VectorXf v = support::random<float>(5, 1, 3);
  const VectorXf slopes = VectorXf::Constant(1, 0.1F);
  MatrixXf O = attn::attention(Q, K, V);
  expect_reference(O);
  O = attn::attention(Q, K, V, attn::DotProduct{});
  expect_reference(O, attn::DotProduct{});
  O = attn::attention(Q, K, V, attn::Additive{Wq, Wk, v});
  expect_reference(O, attn::Additive{Wq, Wk, v});
  O = attn::attention(Q, K, V, attn::Causal{}, attn::Softcap{50.f});
  expect_reference(O, attn::Causal{}, attn::Softcap{50.f});
  O = attn::attention(Q, K, V, attn::Causal{} & attn::SlidingWindow{127, 0}, attn::Alibi{slopes});
  expect_reference(O, attn::Causal{}, attn::Alibi{0.1});
  O = attn::attention(Q, K, V, attn::Threads{4});
  expect_reference(O);
}

TEST_F(Contract, HeadsSideBySide) {
  MatrixXf O = attn::attention(Q, K, V, attn::Heads{8});
  expect_reference(O, attn::Heads{8});
  const MatrixXf k = K.leftCols(8), v = V.leftCols(8);
  O = attn::attention(Q, k, v, attn::Heads{.query = 8, .key_value = 2});
  EXPECT_TRUE(support::near(
      O, attn::reference::attend(Q, k, v, attn::Heads{.query = 8, .key_value = 2}).output, 1e-5));
}

TEST_F(Contract, UsersFunctions) {
  const MatrixXf by_score =
      attn::attention(Q, K, V, attn::score_mod([](auto score, attn::Position at) {
                        return score - 0.1f * float(at.query - at.key);
                      }));
  const MatrixXf by_pack = attn::attention(Q, K, V, attn::score_mod([](auto score, auto at) {
                                             return score - 0.1f * (at.query - at.key);
                                           }));
  EXPECT_TRUE(support::near(by_pack, by_score, 1e-6));
  const MatrixXf even =
      attn::attention(Q, K, V, attn::mask_mod([](attn::Position at) { return at.key % 2 == 0; }));
  expect_reference(even, attn::mask_mod([](attn::Position at) { return at.key % 2 == 0; }));
  const auto capped = attn::score_mod([](auto score, attn::Position) {
    using std::tanh;
    return 30 * tanh(score / 30);
  });
  EXPECT_TRUE(support::near(attn::attention(Q, K, V, capped),
                            attn::attention(Q, K, V, attn::Softcap{30}), 1e-6));
  const auto packs = attn::score_mod([](auto score, auto) {
    namespace math = attn::math;
    return math::select(score > 0, math::max(score, 0.1f), math::min(math::abs(score), 1.f)) +
           math::exp(math::tanh(score)) - math::log(math::abs(score) + 1);
  });
  EXPECT_TRUE(attn::attention(Q, K, V, packs).allFinite());
  const auto forward_only = attn::score_mod([](float score, attn::Position) { return 2 * score; });
  expect_reference(attn::attention(Q, K, V, forward_only),
                   attn::ScaledDotProduct{.scale = 2 / std::sqrt(32.0)});
  const auto plain = attn::score_function([](const auto& q, const auto& k) { return q.dot(k); });
  expect_reference(attn::attention(Q, K, V, plain), attn::DotProduct{});
}

TEST_F(Contract, EntryPoints) {
  MatrixXf O(6, 32);
  attn::Workspace workspace;
  attn::attention_into(O, Q, K, V, attn::Causal{}, workspace);
  expect_reference(O, attn::Causal{});
  auto forward = attn::attention_forward(Q, K, V, attn::Causal{});
  auto [output, log_sum_exp] = forward;
  EXPECT_EQ(log_sum_exp.cols(), 1);
  EXPECT_TRUE(support::near(output, O, 1e-6));
  const MatrixXf P = attn::attention_weights(Q, K, attn::Causal{});
  const auto weighted = attn::attention_with_weights(Q, K, V, attn::Causal{});
  EXPECT_TRUE(support::near(weighted.output, P * V, 1e-6));
  auto [query, key, value, parts] = attn::attention_backward(Q, K, V, forward, dO, attn::Causal{});
  EXPECT_EQ(query.rows() + key.rows() + value.rows(), 18);
}

TEST_F(Contract, GradientsOfParts) {
  const MatrixXf Wq = support::random<float>(32, 5, 1), Wk = support::random<float>(32, 5, 2);
  const VectorXf v = support::random<float>(5, 1, 3);
  const attn::DenseBias first{MatrixXf(MatrixXf::Zero(6, 6))},
      second{MatrixXf(MatrixXf::Ones(6, 6))};
  const attn::Attention mechanism{attn::Additive{Wq, Wk, v}, first, second};
  const auto forward = mechanism.forward(Q, K, V);
  const auto backward = mechanism.backward(Q, K, V, forward, dO);
  EXPECT_EQ(backward.of<attn::Additive>().Wq.rows(), 32);
  EXPECT_EQ(backward.of<attn::Additive>().v.size(), 5);
  EXPECT_TRUE(
      support::near((backward.of<attn::DenseBias, 1>().B), backward.of<attn::DenseBias>().B, 1e-7));
}

TEST_F(Contract, MechanismAndMerge) {
  attn::Attention mechanism{attn::Causal{}, attn::Softcap{30}};
  attn::Workspace workspace;
  MatrixXf O(6, 32);
  mechanism.into(O, Q, K, V, workspace);
  EXPECT_TRUE(support::near(mechanism(Q, K, V, attn::Threads{2}), O, 0));
  EXPECT_TRUE(support::near(mechanism.weights(Q, K) * V, O, 1e-6));
  EXPECT_TRUE(support::near(mechanism.with_weights(Q, K, V).output, O, 1e-6));
  const auto a = attn::attention_forward(Q, K.topRows(2), V.topRows(2));
  const auto b = attn::attention_forward(Q, K.bottomRows(4), V.bottomRows(4));
  const attn::SoftmaxWithSink sink{VectorXf{{0.f}}};
  expect_reference(attn::finish(attn::merge(a, b), sink).output, sink);
}

TEST_F(Contract, PartsTakeWhatPeopleHaveAtHand) {
  const std::vector<float> list{0.1F};
  const std::size_t n = 3;
  expect_reference(attn::attention(Q, K, V, attn::Threads{std::thread::hardware_concurrency()}));
  expect_reference(attn::attention(Q, K, V, attn::Softcap{50}), attn::Softcap{50.0});
  expect_reference(attn::attention(Q, K, V, attn::Causal{.offset = n}), attn::Causal{.offset = 3});
  expect_reference(attn::attention(Q, K, V, attn::Alibi{list}), attn::Alibi{0.1});
  expect_reference(attn::attention(Q, K, V, attn::SlidingWindow{n, 0}), attn::SlidingWindow{3, 0});
  expect_reference(attn::attention(Q, K, V, attn::KeyPadding{n}), attn::KeyPadding{3});
  expect_reference(attn::attention(Q, K, V, attn::KeyPadding{std::vector{4}}), attn::KeyPadding{4});
  expect_reference(attn::attention(Q, K, V, attn::ScaledDotProduct{.scale = 0.5f}),
                   attn::ScaledDotProduct{.scale = 0.5});
  expect_reference(attn::attention(Q, K, V, attn::SoftmaxWithSink{0}), attn::SoftmaxWithSink{0.0});
  expect_reference(attn::attention(Q, K, V, attn::Dropout{0.5, 42}),
                   attn::Dropout{.p = 0.5, .seed = 42});
  expect_reference(attn::attention(Q, K, V, attn::Heads{2}, attn::Alibi::standard(2)),
                   attn::Heads{2}, attn::Alibi::standard(2));
}

TEST_F(Contract, MasksAndPositions) {
  const std::vector<int> ids{0, 0, 1, 1, 2, 2};
  const Eigen::Matrix<bool, Eigen::Dynamic, Eigen::Dynamic> M =
      support::random(6, 6, 9).array() > -0.5;
  const auto all = (attn::Causal::bottom_right() | attn::PrefixLm{2}) & !attn::KeyPadding{1} &
                   attn::DenseMask{M};
  expect_reference(attn::attention(Q, K, V, all, attn::Documents{ids, ids}), all,
                   attn::Documents{ids, ids});
  expect_reference(
      attn::attention(Q, K, V, attn::Causal{}, attn::PositionOffset{.query = 2, .key = 1}),
      attn::Causal{}, attn::PositionOffset{.query = 2, .key = 1});
}

TEST_F(Contract, ExecutorsViewsAndPooling) {
  Eigen::ThreadPool pool(2);
  expect_reference(attn::attention(Q, K, V, attn::on(pool)));
  MatrixXf O(6, 32);
  attn::attention_into(attn::view(O, attn::Heads{8}), attn::view(Q, attn::Heads{8}),
                       attn::view(K, attn::Heads{8}), attn::view(V, attn::Heads{8}));
  expect_reference(O, attn::Heads{8});
  attn::AttentionPooling<float> pooling({.embed_dim = 32, .attention_dim = 8}, 1);
  const auto forward = pooling.forward(Q);
  EXPECT_NEAR(forward.weights.sum(), 1.F, 1e-6F);
  EXPECT_EQ(pooling.backward(forward, MatrixXf::Ones(1, 32)).input.rows(), 6);
}

TEST_F(Contract, Layers) {
  const int seed = 1;
  attn::MultiHeadAttention<float> layer(
      {.embed_dim = 32, .num_heads = 8, .num_kv_heads = 2, .bias = true}, seed);
  const MatrixXf X = Q, memory = K;
  auto Y = layer(X, attn::Causal{});
  auto Z = layer(X, memory);
  EXPECT_TRUE(support::near(Y.row(5), layer(X).row(5), 1e-6));
  EXPECT_EQ(Z.cols(), 32);
  auto forward = layer.forward(X, attn::Causal{});
  auto gradient = layer.backward(forward, dO);
  EXPECT_EQ(gradient.input.rows(), 6);
  EXPECT_EQ(gradient.memory.rows(), 0);
  std::string names;
  layer.parameters.for_each([&](std::string_view name, auto& tensor) {
    gradient.parameters.for_each([&](std::string_view other, auto& d) {
      if (name == other) names += std::string(name) + (tensor.size() == d.size() ? " " : "? ");
    });
  });
  EXPECT_EQ(names, "in_proj_weight in_proj_bias out_proj.weight out_proj.bias ");
}

}  // namespace
