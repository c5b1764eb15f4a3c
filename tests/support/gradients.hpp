// SPDX-License-Identifier: Apache-2.0
// Gradients of the library against central differences of the definition, reference::attend.
//
// The parts of a call are made from a vector theta, so that every number in them can be moved.
#pragma once

#include <gtest/gtest.h>

#include <attn/attn.hpp>
#include <functional>
#include <tuple>
#include <utility>

#include "compare.hpp"
#include "problem.hpp"

namespace support {

/// Of gradients, relative to the largest number of each.
inline constexpr double gradient_tolerance = 1e-6;

/// d loss / d x by every number of x.
inline MatrixXd central_difference(Eigen::Ref<MatrixXd> x, const std::function<double()>& loss) {
  const double h = 1e-5;
  MatrixXd gradient(x.rows(), x.cols());
  for (attn::Index j = 0; j < x.cols(); ++j)
    for (attn::Index i = 0; i < x.rows(); ++i) {
      const double before = x(i, j);
      x(i, j) = before + h;
      const double above = loss();
      x(i, j) = before - h;
      const double below = loss();
      x(i, j) = before;
      gradient(i, j) = (above - below) / (2 * h);
    }
  return gradient;
}

inline testing::AssertionResult gradient_near(const MatrixXd& gradient, const MatrixXd& expected) {
  const double largest = expected.size() == 0 ? 0 : expected.cwiseAbs().maxCoeff();
  return near(gradient, expected, gradient_tolerance * std::max(largest, 1e-2));
}

/// <dO, O> as the definition has it.
template <class Parts>
double reference_loss(const Problem<>& p, const Parts& parts) {
  return std::apply(
      [&](const auto&... part) {
        return attn::reference::attend(p.Q, p.K, p.V, part...).output.cwiseProduct(p.dO).sum();
      },
      parts);
}

template <class Parts>
auto forward_and_backward(const Problem<>& p, const Parts& parts) {
  return std::apply(
      [&](const auto&... part) {
        const auto forward = attn::attention_forward(p.Q, p.K, p.V, part...);
        return attn::attention_backward(p.Q, p.K, p.V, forward, p.dO, part...);
      },
      parts);
}

/// Every gradient of a small problem. make(theta) gives a tuple of parts, and flatten(backward) the
/// gradients by theta.
template <class Make, class Flatten>
void expect_gradients(Problem<> p, VectorXd theta, Make make, Flatten flatten) {
  const auto gradient = forward_and_backward(p, make(theta));
  const auto loss = [&] { return reference_loss(p, make(theta)); };
  EXPECT_TRUE(gradient_near(gradient.query, central_difference(p.Q, loss))) << "dQ";
  EXPECT_TRUE(gradient_near(gradient.key, central_difference(p.K, loss))) << "dK";
  EXPECT_TRUE(gradient_near(gradient.value, central_difference(p.V, loss))) << "dV";
  const VectorXd of_theta = flatten(gradient);
  EXPECT_TRUE(gradient_near(of_theta, central_difference(theta, loss))) << "the parts' parameters";
}

/// A problem of several tiles, moved along one random direction of everything at once.
template <class Make, class Flatten>
void expect_gradients_along(const Problem<>& p, const VectorXd& theta, Make make, Flatten flatten) {
  const auto g = forward_and_backward(p, make(theta));
  Problem<> way = p;
  way.Q = random(p.Q.rows(), p.Q.cols(), 101);
  way.K = random(p.K.rows(), p.K.cols(), 102);
  way.V = random(p.V.rows(), p.V.cols(), 103);
  const VectorXd theta_way = random_vector(theta.size(), 104);
  const auto loss_at = [&](double t) {
    Problem<> moved = p;
    moved.Q += t * way.Q;
    moved.K += t * way.K;
    moved.V += t * way.V;
    return reference_loss(moved, make(VectorXd(theta + t * theta_way)));
  };
  const VectorXd of_theta = flatten(g);
  ASSERT_EQ(of_theta.size(), theta.size());
  const double along = g.query.cwiseProduct(way.Q).sum() + g.key.cwiseProduct(way.K).sum() +
                       g.value.cwiseProduct(way.V).sum() + of_theta.dot(theta_way);
  const double h = 1e-5;
  const double expected = (loss_at(h) - loss_at(-h)) / (2 * h);
  EXPECT_TRUE(std::abs(along - expected) <= gradient_tolerance * std::max(1.0, std::abs(expected)))
      << along << " and should be " << expected;
}

/// What parts without parameters have: nothing.
inline const auto no_parameters = [](const auto&) { return VectorXd(0); };

/// Gradients by the inputs alone, for parts that stay as they are.
template <class... Parts>
void expect_input_gradients(const Case& c, const Parts&... parts) {
  SCOPED_TRACE(c);
  expect_gradients(
      Problem<>(c), VectorXd(0), [&](const VectorXd&) { return std::make_tuple(parts...); },
      no_parameters);
}

}  // namespace support
