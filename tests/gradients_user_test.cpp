// SPDX-License-Identifier: Apache-2.0
// Gradients through users' own rules and through dropout, against central differences.
#include <gtest/gtest.h>

#include <attn/attn.hpp>
#include <cmath>
#include <functional>
#include <tuple>

#include "support/gradients.hpp"

namespace {

using Eigen::VectorXd;
using support::Case;
using support::Problem;

constexpr Case small{};
constexpr Case several_tiles{.n_q = 133, .n_k = 261, .d = 4, .d_v = 3, .seed = 3};

/// Pair by pair: `Position` holds integers, and every lane is a scalar.
constexpr auto by_position = [](auto score, attn::Position at, auto slope, auto height) {
  using std::tanh;
  return height * tanh(score) - slope * double(at.query - at.key) * score;
};

/// The same with packs of scores.
constexpr auto by_pack = [](auto score, auto at, auto slope, auto height) {
  return height * attn::math::tanh(score) - slope * (at.query - double(at.key)) * score;
};

template <class Rule>
auto with_rule(Rule rule) {
  return [rule](const VectorXd& theta) {
    return std::tuple(attn::score_mod(rule, theta(0), theta(1)), attn::Causal{.offset = 3});
  };
}

constexpr auto mod_parameters = [](const auto& backward) {
  return VectorXd(backward.parts.template of<attn::ScoreMod>().parameters);
};

TEST(ScoreModGradient, AgreesWithCentralDifferencesPairByPair) {
  const VectorXd theta{{0.05, 1.4}};
  support::expect_gradients(Problem<>(small), theta, with_rule(by_position), mod_parameters);
  support::expect_gradients_along(Problem<>(several_tiles), VectorXd{{0.002, 1.4}},
                                  with_rule(by_position), mod_parameters);
}

TEST(ScoreModGradient, AgreesWithCentralDifferencesInPacks) {
  const VectorXd theta{{0.05, 1.4}};
  support::expect_gradients(Problem<>(small), theta, with_rule(by_pack), mod_parameters);
  support::expect_gradients_along(Problem<>(several_tiles), VectorXd{{0.002, 1.4}},
                                  with_rule(by_pack), mod_parameters);
}

TEST(ScoreModGradient, FollowsANumberHeldByReference) {
  double slope = 0.3;
  const auto mod = attn::score_mod(
      [](auto score, attn::Position at, auto s) { return score - s * double(at.key); },
      std::ref(slope));
  const Problem<> p(small);
  const auto before = support::forward_and_backward(p, std::tuple(mod));
  slope = 0.6;
  const auto after = support::forward_and_backward(p, std::tuple(mod));
  const auto fixed = support::forward_and_backward(
      p, std::tuple(attn::score_mod(
             [](auto score, attn::Position at) { return score - 0.6 * double(at.key); })));
  EXPECT_FALSE(support::near(before.query, after.query, 1e-3));
  EXPECT_TRUE(support::near(after.query, fixed.query, 1e-14));
}

TEST(ScoreModGradient, StopsWhereTheRuleMasks) {
  const auto odd = [](auto score, attn::Position at) {
    return at.key % 2 == 1 ? decltype(score)(-std::numeric_limits<double>::infinity()) : score;
  };
  const Problem<> p(small);
  const auto g = support::forward_and_backward(p, std::tuple(attn::score_mod(odd)));
  for (attn::Index j = 0; j < 9; ++j)
    EXPECT_EQ((g.key.row(j).array() == 0.0).all(), j % 2 == 1) << "key " << j;
  support::expect_input_gradients(small, attn::score_mod(odd), attn::Sigmoid{});
}

TEST(ScoreModGradient, TakesNothingFromQueriesThatDoNotExist) {
  // The rule has no number beyond query 6, and a pack of seven queries has lanes there.
  const auto rule = [](auto score, auto at, auto weight) {
    return score + weight * attn::math::log(6.5 - at.query);
  };
  const auto make = [&](const VectorXd& theta) {
    return std::tuple(attn::score_mod(rule, theta(0)), attn::Sigmoid{-1});
  };
  const auto flatten = [](const auto& backward) {
    VectorXd both(1);
    both << backward.parts.template of<attn::ScoreMod>().parameters;
    EXPECT_TRUE(std::isfinite(backward.template of<attn::Sigmoid>().bias));
    return both;
  };
  support::expect_gradients(Problem<>(small), VectorXd::Constant(1, 0.4), make, flatten);
}

constexpr auto prob_parameters = [](const auto& backward) {
  return VectorXd(backward.parts.template of<attn::ProbMod>().parameters);
};

TEST(ProbModGradient, AgreesWithCentralDifferencesPairByPair) {
  const auto rule = [](auto p, attn::Position at, auto a) {
    return p * p * a + double(at.key) * 0.1 * p;
  };
  const auto make = [&](const VectorXd& theta) {
    return std::tuple(attn::prob_mod(rule, theta(0)), attn::Causal{.offset = 2});
  };
  const VectorXd theta{{0.8}};
  support::expect_gradients(Problem<>(small), theta, make, prob_parameters);
  support::expect_gradients_along(Problem<>(several_tiles), theta, make, prob_parameters);
}

TEST(ProbModGradient, AgreesWithCentralDifferencesInPacksAndForOtherNormalisers) {
  const auto rule = [](auto p, auto at, auto a) { return p * (a - p) + 0.01 * p * at.query; };
  const auto make_sigmoid = [&](const VectorXd& theta) {
    return std::tuple(attn::prob_mod(rule, theta(0)), attn::Sigmoid{});
  };
  const auto make_entmax = [&](const VectorXd& theta) {
    return std::tuple(attn::prob_mod(rule, theta(0)), attn::Entmax15{}, attn::Causal{.offset = 2});
  };
  const auto make_sink = [&](const VectorXd& theta) {
    return std::tuple(attn::prob_mod(rule, theta(0)), attn::SoftmaxWithSink{theta(1)});
  };
  const VectorXd theta{{0.8}};
  support::expect_gradients(Problem<>(small), theta, make_sigmoid, prob_parameters);
  support::expect_gradients(Problem<>(small), theta, make_entmax, prob_parameters);
  support::expect_gradients(
      Problem<>(small), VectorXd{{0.8, 0.2}}, make_sink, [](const auto& backward) {
        VectorXd both(2);
        both << prob_parameters(backward), backward.template of<attn::SoftmaxWithSink>().logits;
        return both;
      });
}

TEST(DropoutGradient, AgreesWithCentralDifferences) {
  support::expect_input_gradients(small, attn::Dropout{.p = 0.4, .seed = 3});
  support::expect_input_gradients(small, attn::Dropout{.p = 0.4, .seed = 3}, attn::Sparsemax{});
  const auto make = [](const VectorXd& theta) {
    return std::tuple(attn::Dropout{.p = 0.3, .seed = 5}, attn::SoftmaxWithSink{theta(0)},
                      attn::Causal{});
  };
  const auto flatten = [](const auto& backward) {
    return VectorXd(backward.template of<attn::SoftmaxWithSink>().logits);
  };
  support::expect_gradients_along(Problem<>(several_tiles), VectorXd::Constant(1, 0.3), make,
                                  flatten);
}

TEST(DropoutGradient, AgreesTogetherWithARuleOfTheUsers) {
  const auto rule = [](auto p, attn::Position) { return p * p; };
  support::expect_input_gradients(small, attn::Dropout{.p = 0.3, .seed = 8}, attn::prob_mod(rule));
}

}  // namespace
