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

template <class G>
void expect_same_gradients(const G& a, const G& b) {
  EXPECT_EQ(a.query, b.query);
  EXPECT_EQ(a.key, b.key);
  EXPECT_EQ(a.value, b.value);
  EXPECT_EQ(scale_of(a), scale_of(b));
}

/// O and L of all keys make the gradients of a part of them: dQ adds up, dK and dV are its own.
inline void expect_parts_of_keys_add_up(attn::Index n_q, attn::Index n) {
  const Problem<> p({.n_q = n_q, .n_k = n, .d = 4, .d_v = 3});
  const MatrixXd K[] = {p.K.topRows(n / 2), p.K.bottomRows(n - n / 2)};
  const MatrixXd V[] = {p.V.topRows(n / 2), p.V.bottomRows(n - n / 2)};
  const auto merged = attn::merge(attn::attention_forward(p.Q, K[0], V[0]),
                                  attn::attention_forward(p.Q, K[1], V[1]));
  const auto first = attn::attention_backward(p.Q, K[0], V[0], merged, p.dO);
  const auto second = attn::attention_backward(p.Q, K[1], V[1], merged, p.dO);
  const Gradients exact = expected(p, 0.5);
  EXPECT_TRUE(near_gradient(MatrixXd(first.query + second.query), exact.query)) << n;
  EXPECT_TRUE(near_gradient(first.key, exact.key.topRows(n / 2))) << n;
  EXPECT_TRUE(near_gradient(second.value, exact.value.bottomRows(n - n / 2))) << n;
}

/// A key whose scores are -inf by themselves has no part in anything, whatever its row of V holds.
inline void expect_a_key_of_minus_infinity_is_none(attn::Index n_q, attn::Index n) {
  Problem<> p({.n_q = n_q, .n_k = n, .d = 3, .d_v = 2});
  p.Q.col(0).setConstant(1);
  const Problem<> all = p;
  p.K(n - 1, 0) = -infinity;
  p.V(n - 1, 1) = nan;
  const auto gradient =
      attn::attention_backward(p.Q, p.K, p.V, attn::attention_forward(p.Q, p.K, p.V), p.dO);
  const MatrixXd K = all.K.topRows(n - 1), V = all.V.topRows(n - 1);
  const auto without =
      attn::attention_backward(p.Q, K, V, attn::attention_forward(p.Q, K, V), p.dO);
  EXPECT_TRUE(near(gradient.query, without.query, 1e-14));
  EXPECT_TRUE(near(gradient.key.topRows(n - 1), without.key, 1e-14));
  EXPECT_TRUE(near(gradient.value.topRows(n - 1), without.value, 1e-14));
  EXPECT_EQ(gradient.key.row(n - 1), Eigen::RowVectorXd::Zero(3));
  EXPECT_EQ(gradient.value.row(n - 1), Eigen::RowVectorXd::Zero(2));
  EXPECT_NEAR(scale_of(gradient), scale_of(without), 1e-13);
}

inline void expect_only_what_is_asked_for(attn::Index n_q, attn::Index n_k) {
  const Problem<> p({.n_q = n_q, .n_k = n_k, .d = 3, .d_v = 2});
  const auto forward = attn::attention_forward(p.Q, p.K, p.V);
  const auto whole = attn::attention_backward(p.Q, p.K, p.V, forward, p.dO);
  MatrixXd dq(n_q, 3), dk(n_k, 3), dv(n_k, 2);
  const attn::TensorView<double> nothing;
  const auto backward = [&](const auto& query, const auto& key, const auto& value) {
    attn::attention_backward_into(query, key, value, attn::view(p.Q), attn::view(p.K),
                                  attn::view(p.V), attn::view(forward.output),
                                  attn::view(forward.log_sum_exp), attn::view(p.dO));
  };
  backward(attn::view(dq), nothing, nothing);
  backward(nothing, attn::view(dk), nothing);
  backward(nothing, nothing, attn::view(dv));
  EXPECT_EQ(dq, whole.query);
  EXPECT_EQ(dk, whole.key);
  EXPECT_EQ(dv, whole.value);
}

}  // namespace support
