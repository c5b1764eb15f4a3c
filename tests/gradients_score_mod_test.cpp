// SPDX-License-Identifier: Apache-2.0
// Gradients of the built-in score modifiers and their parameters against central differences.
#include <gtest/gtest.h>

#include <attn/attn.hpp>
#include <tuple>

#include "support/gradients.hpp"

namespace {

using attn::Index;
using Eigen::Map;
using Eigen::MatrixXd;
using Eigen::VectorXd;
using support::Case;
using support::Problem;

constexpr Case small{};
constexpr Case two_heads{.n_q = 6, .n_k = 7, .d = 3, .d_v = 2, .heads = 2, .key_heads = 1};
constexpr Case several_tiles{.n_q = 133, .n_k = 261, .d = 4, .d_v = 3, .seed = 3};

MatrixXd block(const VectorXd& theta, Index from, Index rows, Index cols) {
  return Map<const MatrixXd>(theta.data() + from, rows, cols);
}

VectorXd flat(const MatrixXd& m) { return Map<const VectorXd>(m.data(), m.size()); }

TEST(SoftcapGradient, AgreesWithCentralDifferences) {
  const auto make = [](const VectorXd& theta) {
    return std::tuple(attn::DotProduct{}, attn::Softcap{theta(0)}, attn::Causal{.offset = 1});
  };
  const auto flatten = [](const auto& backward) {
    return VectorXd::Constant(1, backward.template of<attn::Softcap>().cap).eval();
  };
  const VectorXd theta = VectorXd::Constant(1, 1.3);
  support::expect_gradients(Problem<>(small), theta, make, flatten);
  support::expect_gradients_along(Problem<>(several_tiles), theta, make, flatten);
}

TEST(AlibiGradient, AgreesWithCentralDifferencesForOneSlopeAHead) {
  const auto make = [](const VectorXd& theta) {
    return std::tuple(attn::Heads{.query = 2, .key_value = 1}, attn::Alibi::bottom_right(theta));
  };
  const auto flatten = [](const auto& backward) {
    return VectorXd(backward.template of<attn::Alibi>().slopes);
  };
  support::expect_gradients(Problem<>(two_heads), VectorXd{{0.3, 0.1}}, make, flatten);
}

TEST(AlibiGradient, IsSummedOverTheHeadsThatShareASlope) {
  const auto make = [](const VectorXd& theta) {
    return std::tuple(attn::Heads{.query = 2, .key_value = 1},
                      attn::Alibi{.slopes = theta(0), .offset = 1});
  };
  const auto flatten = [](const auto& backward) {
    return VectorXd(backward.template of<attn::Alibi>().slopes);
  };
  support::expect_gradients(Problem<>(two_heads), VectorXd::Constant(1, 0.2), make, flatten);
}

TEST(DenseBiasGradient, AgreesWithCentralDifferences) {
  const auto make = [](const VectorXd& theta) {
    return std::tuple(attn::DenseBias{block(theta, 0, 7, 9)}, attn::PrefixLm{2});
  };
  const auto flatten = [](const auto& backward) {
    return flat(backward.template of<attn::DenseBias>().B);
  };
  support::expect_gradients(Problem<>(small), support::random_vector(63, 5), make, flatten);
}

TEST(DenseBiasGradient, IsToldApartForTwoBiases) {
  const auto make = [](const VectorXd& theta) {
    return std::tuple(attn::DenseBias{block(theta, 0, 7, 9)}, attn::Softcap{1.1},
                      attn::DenseBias{block(theta, 63, 7, 9)}, attn::Causal{});
  };
  const auto flatten = [](const auto& backward) {
    VectorXd both(126);
    both << flat(backward.template of<attn::DenseBias>().B),
        flat(backward.template of<attn::DenseBias, 1>().B);
    return both;
  };
  support::expect_gradients(Problem<>(small), support::random_vector(126, 6), make, flatten);
}

TEST(DenseBiasGradient, AgreesOverSeveralTiles) {
  const auto make = [](const VectorXd& theta) {
    return std::tuple(attn::DenseBias{block(theta, 0, 133, 261)},
                      attn::Causal::bottom_right() & attn::SlidingWindow{40, -1});
  };
  const auto flatten = [](const auto& backward) {
    return flat(backward.template of<attn::DenseBias>().B);
  };
  support::expect_gradients_along(Problem<>(several_tiles), support::random_vector(133 * 261, 7),
                                  make, flatten);
}

/// theta: the 12 numbers of a bias with a row a head that all queries share, {1, 2, 1, 6}.
TEST(DenseBiasGradient, IsSummedOverTheDimensionsThatBroadcast) {
  const Case c{.n_q = 5, .n_k = 6, .d = 3, .d_v = 2, .heads = 2, .key_heads = 2};
  const auto make = [](const VectorXd& theta) {
    const attn::TensorView<const double> B(theta.data(), {1, 2, 1, 6}, {0, 1, 0, 2});
    return std::tuple(attn::Heads{2}, attn::DenseBias{B});
  };
  const auto flatten = [](const auto& backward) {
    const attn::TensorView<const double> g = backward.template of<attn::DenseBias>().view();
    EXPECT_EQ(g.shape, (std::array<Index, 4>{1, 2, 1, 6}));
    VectorXd all(12);
    for (Index h = 0; h < 2; ++h)
      for (Index j = 0; j < 6; ++j) all(2 * j + h) = g(0, h, 0, j);
    return all;
  };
  support::expect_gradients(Problem<>(c), support::random_vector(12, 8), make, flatten);
}

void expect_relative_position_gradients(bool bidirectional, Index columns, const Case& c) {
  const auto make = [&](const VectorXd& theta) {
    return std::tuple(attn::Heads{Index(c.heads)},
                      attn::RelativePositionBias{
                          block(theta, 0, 8, columns),
                          attn::RelativePositionOptions{
                              .bidirectional = bidirectional, .max_distance = 12, .offset = 1}},
                      attn::SlidingWindow{.left = 100, .right = 100});
  };
  const auto flatten = [](const auto& backward) {
    return flat(backward.template of<attn::RelativePositionBias>().table);
  };
  support::expect_gradients(Problem<>(c), support::random_vector(8 * columns, 9), make, flatten);
}

TEST(RelativePositionBiasGradient, AgreesWithCentralDifferencesInBothDirections) {
  expect_relative_position_gradients(
      true, 2, {.n_q = 6, .n_k = 16, .d = 3, .d_v = 2, .heads = 2, .key_heads = 2});
}

TEST(RelativePositionBiasGradient, AgreesWithCentralDifferencesInOneDirection) {
  expect_relative_position_gradients(
      false, 1, {.n_q = 16, .n_k = 9, .d = 3, .d_v = 2, .heads = 2, .key_heads = 2});
}

TEST(ScoreModGradients, FollowTheOrderOfTheModifiers) {
  const Problem<> p(small);
  const MatrixXd B = support::random(7, 9, 10);
  const auto cap_last =
      std::tuple(attn::DenseBias{B}, attn::Softcap{0.8}, attn::Alibi{.slopes = 0.05});
  const auto cap_first =
      std::tuple(attn::Softcap{0.8}, attn::DenseBias{B}, attn::Alibi{.slopes = 0.05});
  const auto make_last = [&](const VectorXd&) { return cap_last; };
  const auto make_first = [&](const VectorXd&) { return cap_first; };
  support::expect_gradients(p, VectorXd(0), make_last, support::no_parameters);
  support::expect_gradients(p, VectorXd(0), make_first, support::no_parameters);
  const auto last = support::forward_and_backward(p, cap_last);
  const auto first = support::forward_and_backward(p, cap_first);
  EXPECT_FALSE(support::near(last.query, first.query, 1e-3));
}

}  // namespace
