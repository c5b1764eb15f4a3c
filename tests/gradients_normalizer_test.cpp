// SPDX-License-Identifier: Apache-2.0
// Gradients through the normalisers, their parameters and masks, against central differences.
#include <gtest/gtest.h>

#include <attn/attn.hpp>
#include <tuple>

#include "support/gradients.hpp"

namespace {

using Eigen::VectorXd;
using support::Case;
using support::Problem;

constexpr Case small{};
constexpr Case two_heads{.n_q = 6, .n_k = 7, .d = 3, .d_v = 2, .heads = 2, .key_heads = 1};
constexpr Case several_tiles{.n_q = 133, .n_k = 261, .d = 4, .d_v = 3, .seed = 3};

TEST(SoftmaxGradient, AgreesWithCentralDifferences) {
  support::expect_input_gradients(small);
  support::expect_input_gradients(small, attn::Softmax{}, attn::Causal{});
}

TEST(SoftmaxWithSinkGradient, AgreesWithCentralDifferencesForOneLogitAHead) {
  const auto make = [](const VectorXd& theta) {
    return std::tuple(attn::Heads{.query = 2, .key_value = 1}, attn::SoftmaxWithSink{theta},
                      attn::Causal{});
  };
  const auto flatten = [](const auto& backward) {
    return VectorXd(backward.template of<attn::SoftmaxWithSink>().logits);
  };
  support::expect_gradients(Problem<>(two_heads), VectorXd{{0.4, -1.0}}, make, flatten);
}

TEST(SoftmaxWithSinkGradient, IsSummedOverTheHeadsThatShareALogit) {
  const auto make = [](const VectorXd& theta) {
    return std::tuple(attn::Heads{.query = 2, .key_value = 1}, attn::SoftmaxWithSink{theta(0)});
  };
  const auto flatten = [](const auto& backward) {
    return VectorXd(backward.template of<attn::SoftmaxWithSink>().logits);
  };
  support::expect_gradients(Problem<>(two_heads), VectorXd::Constant(1, 0.7), make, flatten);
}

TEST(SoftmaxWithSinkGradient, AgreesOverSeveralTilesWithQueriesThatSeeNothing) {
  const auto make = [](const VectorXd& theta) {
    return std::tuple(attn::SoftmaxWithSink{theta}, attn::Causal{.offset = -5});
  };
  const auto flatten = [](const auto& backward) {
    return VectorXd(backward.template of<attn::SoftmaxWithSink>().logits);
  };
  support::expect_gradients_along(Problem<>(several_tiles), VectorXd::Constant(1, 1.5), make,
                                  flatten);
}

TEST(SigmoidGradient, AgreesWithCentralDifferences) {
  const auto make = [](const VectorXd& theta) {
    return std::tuple(attn::Sigmoid{theta(0)}, attn::SlidingWindow{2, 1});
  };
  const auto flatten = [](const auto& backward) {
    return VectorXd::Constant(1, backward.template of<attn::Sigmoid>().bias).eval();
  };
  const VectorXd theta = VectorXd::Constant(1, -0.6);
  support::expect_gradients(Problem<>(small), theta, make, flatten);
  support::expect_gradients_along(Problem<>(several_tiles), theta, make, flatten);
}

TEST(SparsemaxGradient, AgreesWithCentralDifferences) {
  const auto make = [](const VectorXd& theta) {
    return std::tuple(attn::ScaledDotProduct{.scale = theta(0)}, attn::Sparsemax{},
                      attn::Causal{.offset = 2});
  };
  const auto flatten = [](const auto& backward) {
    return VectorXd::Constant(1, backward.template of<attn::ScaledDotProduct>().scale).eval();
  };
  const VectorXd theta = VectorXd::Constant(1, 1.2);
  support::expect_gradients(Problem<>(small), theta, make, flatten);
  support::expect_gradients_along(Problem<>(several_tiles), theta, make, flatten);
}

TEST(Entmax15Gradient, AgreesWithCentralDifferences) {
  const auto make = [](const VectorXd& theta) {
    return std::tuple(attn::ScaledDotProduct{.scale = theta(0)}, attn::Entmax15{},
                      attn::Causal{.offset = 2});
  };
  const auto flatten = [](const auto& backward) {
    return VectorXd::Constant(1, backward.template of<attn::ScaledDotProduct>().scale).eval();
  };
  const VectorXd theta = VectorXd::Constant(1, 1.2);
  support::expect_gradients(Problem<>(small), theta, make, flatten);
  support::expect_gradients_along(Problem<>(several_tiles), theta, make, flatten);
}

TEST(MaskedGradient, AgreesForCombinationsOfMasks) {
  support::expect_input_gradients(
      small, (attn::Causal{} | attn::PrefixLm{2}) &
                 !attn::mask_mod([](attn::Position at) { return at.key == 4; }));
  support::expect_input_gradients(
      small, attn::Documents{{1, 1, 1, 2, 2, 3, 3}, {1, 1, 2, 2, 2, 2, 3, 3, 4}}, attn::Sigmoid{});
}

TEST(MaskedGradient, IsZeroForWhatNobodySees) {
  const Problem<> p(small);
  const auto g =
      support::forward_and_backward(p, std::tuple(attn::KeyPadding{4}, attn::Entmax15{}));
  EXPECT_TRUE((g.key.bottomRows(5).array() == 0.0).all());
  EXPECT_TRUE((g.value.bottomRows(5).array() == 0.0).all());
  EXPECT_TRUE((g.key.topRows(4).array() != 0.0).any());
}

}  // namespace
