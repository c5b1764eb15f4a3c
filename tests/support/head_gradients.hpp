// SPDX-License-Identifier: Apache-2.0
// The gradients of scaled products' softmax, by the chain rule in double, and whether a call's are
// near them.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <attn/attn.hpp>
#include <cmath>
#include <limits>

#include "compare.hpp"
#include "nonfinite.hpp"
#include "problem.hpp"

namespace support {

using Eigen::MatrixXd;

struct Gradients {
  MatrixXd query, key, value;
  double scale;
};

inline double scale_of(const auto& gradient) {
  return gradient.template of<attn::ScaledDotProduct>().scale;
}

/// As the chain rule has it: dS = P o (dP - D), with all of P in double.
template <class T, class... Masks>
Gradients expected(const Problem<T>& p, double scale, const Masks&... masks) {
  const MatrixXd Q = p.Q.template cast<double>(), K = p.K.template cast<double>(),
                 V = p.V.template cast<double>(), dO = p.dO.template cast<double>();
  const MatrixXd P =
      attn::reference::attend(Q, K, V, attn::ScaledDotProduct{.scale = scale}, masks...).weights;
  const MatrixXd dP = dO * V.transpose();
  const Eigen::VectorXd means = P.cwiseProduct(dP).rowwise().sum();
  const MatrixXd dS = P.array() * (dP.colwise() - means).array();
  return {scale * dS * K, scale * dS.transpose() * Q, P.transpose() * dO,
          dS.cwiseProduct(Q * K.transpose()).sum()};
}

/// What rounding O and a gradient to T may cost, and computing in the accumulator's type.
template <class T>
inline constexpr double bound = 100 * double(std::numeric_limits<T>::epsilon());
template <>
inline constexpr double bound<Eigen::half> = 0x1p-8;
template <>
inline constexpr double bound<Eigen::bfloat16> = 0x1p-5;

template <class T>
testing::AssertionResult near_gradient(const attn::MatrixX<T>& gradient, const MatrixXd& exact) {
  const double largest = exact.size() == 0 ? 0 : exact.cwiseAbs().maxCoeff();
  return near(gradient.template cast<double>(), exact, bound<T> * std::max(largest, 0.1));
}

template <class T, class... Parts>
void expect_gradients_of_call(const Problem<T>& p, const Gradients& exact, const Parts&... parts) {
  const auto forward = attn::attention_forward(p.Q, p.K, p.V, parts...);
  const auto gradient = attn::attention_backward(p.Q, p.K, p.V, forward, p.dO, parts...);
  EXPECT_TRUE(near_gradient(gradient.query, exact.query)) << "dQ";
  EXPECT_TRUE(near_gradient(gradient.key, exact.key)) << "dK";
  EXPECT_TRUE(near_gradient(gradient.value, exact.value)) << "dV";
  const auto pairs = double(p.Q.rows() * p.K.rows());
  EXPECT_NEAR(scale_of(gradient), exact.scale, bound<T> * std::sqrt(pairs));
}

template <class T>
void expect_gradients(const Case& c) {
  SCOPED_TRACE(c);
  const Problem<T> p(c);
  expect_gradients_of_call(p, expected(p, 0.7), attn::ScaledDotProduct{.scale = 0.7});
}

/// A mask is a score of -inf: gradients are those of the definition's weights with that mask.
template <class T, class... Masks>
void expect_masked_gradients(const Case& c, const Masks&... masks) {
  SCOPED_TRACE(c);
  Problem<T> p(c);
  const Gradients exact = expected(p, -0.7, masks...);
  const MatrixXd weights = attn::reference::attend(p.Q, p.K, p.V, masks...).weights;
  for (attn::Index j = 0; j < c.n_k; ++j)  // keys that nobody sees hold what they want
    if (weights.col(j).maxCoeff() == 0) {
      p.K.row(j).setConstant(T(nan));
      p.V.row(j).setConstant(T(infinity));
    }
  expect_gradients_of_call(p, exact, attn::ScaledDotProduct{.scale = -0.7}, masks...);
}

}  // namespace support
