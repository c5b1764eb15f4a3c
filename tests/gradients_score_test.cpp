// SPDX-License-Identifier: Apache-2.0
// Gradients of the score functions and their parameters against central differences.
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
constexpr Case several_tiles{.n_q = 133, .n_k = 261, .d = 4, .d_v = 3, .seed = 3};

MatrixXd block(const VectorXd& theta, Index from, Index rows, Index cols) {
  return Map<const MatrixXd>(theta.data() + from, rows, cols);
}

VectorXd flat(const MatrixXd& m) { return Map<const VectorXd>(m.data(), m.size()); }

TEST(ScaledDotProductGradient, AgreesWithCentralDifferences) {
  const auto make = [](const VectorXd& theta) {
    return std::tuple(attn::ScaledDotProduct{.scale = theta(0)}, attn::Causal{});
  };
  const auto flatten = [](const auto& backward) {
    return VectorXd::Constant(1, backward.template of<attn::ScaledDotProduct>().scale).eval();
  };
  const VectorXd theta = VectorXd::Constant(1, 0.7);
  support::expect_gradients(Problem<>(small), theta, make, flatten);
  support::expect_gradients_along(Problem<>(several_tiles), theta, make, flatten);
}

TEST(ScaledDotProductGradient, OfTheDefaultScaleIsThatOfTheNumberItStandsFor) {
  const Problem<> p(small);
  const auto by_default = support::forward_and_backward(p, std::tuple<>());
  const auto by_number = support::forward_and_backward(
      p, std::tuple(attn::ScaledDotProduct{.scale = 1 / std::sqrt(5.0)}));
  EXPECT_TRUE(support::near(by_default.query, by_number.query, 1e-15));
  EXPECT_NEAR(by_default.of<attn::ScaledDotProduct>().scale,
              by_number.of<attn::ScaledDotProduct>().scale, 1e-14);
}

TEST(CosineSimilarityGradient, AgreesWithCentralDifferences) {
  const auto make = [](const VectorXd& theta) {
    return std::tuple(attn::CosineSimilarity{.scale = theta(0)},
                      attn::SlidingWindow{.left = 3, .right = 2});
  };
  const auto flatten = [](const auto& backward) {
    return VectorXd::Constant(1, backward.template of<attn::CosineSimilarity>().scale).eval();
  };
  const VectorXd theta = VectorXd::Constant(1, 2.5);
  support::expect_gradients(Problem<>(small), theta, make, flatten);
  support::expect_gradients_along(Problem<>(several_tiles), theta, make, flatten);
}

TEST(DotProductGradient, AgreesWithCentralDifferences) {
  support::expect_input_gradients(small, attn::DotProduct{}, attn::PrefixLm{4});
}

TEST(BilinearGradient, AgreesWithCentralDifferences) {
  // K is wider than Q: W is d x d_k.
  Problem<> p(small);
  p.K = support::random(9, 6, 77);
  const auto make = [](const VectorXd& theta) {
    return std::tuple(attn::Bilinear{block(theta, 0, 5, 6)}, attn::Causal{.offset = 2});
  };
  const auto flatten = [](const auto& backward) {
    return flat(backward.template of<attn::Bilinear>().W);
  };
  support::expect_gradients(p, support::random_vector(30, 5), make, flatten);

  Problem<> large(several_tiles);
  large.K = support::random(261, 6, 78);
  const auto make_large = [](const VectorXd& theta) {
    return std::tuple(attn::Bilinear{block(theta, 0, 4, 6)}, attn::Causal{.offset = 2});
  };
  support::expect_gradients_along(large, support::random_vector(24, 6), make_large, flatten);
}

constexpr Index hidden = 4;  // a

/// Wq 5 x a, Wk 6 x a, v and b, one behind the other.
std::tuple<attn::Additive<double>, attn::KeyPadding> additive_with_bias(const VectorXd& theta) {
  return {attn::Additive{block(theta, 0, 5, hidden), block(theta, 20, 6, hidden),
                         VectorXd(theta.segment(44, hidden)), VectorXd(theta.segment(48, hidden))},
          attn::KeyPadding{7}};
}

template <class Backward>
VectorXd additive_gradient(const Backward& backward) {
  const auto& g = backward.template of<attn::Additive>();
  VectorXd all(g.Wq.size() + g.Wk.size() + g.v.size() + g.b.size());
  all << flat(g.Wq), flat(g.Wk), g.v, g.b;
  return all;
}

TEST(AdditiveGradient, AgreesWithCentralDifferences) {
  Problem<> p(small);
  p.K = support::random(9, 6, 79);
  support::expect_gradients(p, support::random_vector(52, 7), additive_with_bias,
                            [](const auto& backward) { return additive_gradient(backward); });
}

TEST(AdditiveGradient, AgreesOverSeveralTiles) {
  Problem<> p(several_tiles);
  p.Q = support::random(133, 5, 80);
  p.K = support::random(261, 6, 81);
  const auto make = [](const VectorXd& theta) {
    auto parts = additive_with_bias(theta);
    return std::tuple(std::get<0>(parts), attn::KeyPadding{200});
  };
  support::expect_gradients_along(p, support::random_vector(52, 8), make,
                                  [](const auto& backward) { return additive_gradient(backward); });
}

TEST(AdditiveGradient, HasNoBiasWherePartHasNone) {
  const Problem<> p(small);
  const VectorXd theta = support::random_vector(44, 9);
  const auto make = [](const VectorXd& t) {
    return std::tuple(attn::Additive{block(t, 0, 5, hidden), block(t, 20, 5, hidden),
                                     VectorXd(t.segment(40, hidden))});
  };
  support::expect_gradients(p, theta, make,
                            [](const auto& backward) { return additive_gradient(backward); });
  EXPECT_EQ(support::forward_and_backward(p, make(theta)).of<attn::Additive>().b.size(), 0);
}

TEST(ScoreFunctionGradient, IsFoundForAGenericFunction) {
  const auto f = [](const auto& q, const auto& k) {
    using std::tanh;
    return tanh(q.dot(k)) - 0.25 * (q - k).squaredNorm();
  };
  support::expect_input_gradients(small, attn::score_function(f), attn::Causal{.offset = 1});
}

TEST(ScoreFunctionGradient, MayUseAMatrix) {
  const MatrixXd W = support::random(5, 5, 12);
  const auto f = [W](const auto& q, const auto& k) { return (q * W).dot(k); };
  const Problem<> p(small);
  const auto by_function = support::forward_and_backward(p, std::tuple(attn::score_function(f)));
  const auto by_part = support::forward_and_backward(p, std::tuple(attn::Bilinear{W}));
  EXPECT_TRUE(support::near(by_function.query, by_part.query, 1e-13));
  EXPECT_TRUE(support::near(by_function.key, by_part.key, 1e-13));
  EXPECT_TRUE(support::near(by_function.value, by_part.value, 1e-13));
}

}  // namespace
