// SPDX-License-Identifier: Apache-2.0
// Normalisers: from the scores of a query to its weights.
//
//     softmax  P = exp(s - m) / l            sparsemax  P = max(s - m - tau, 0)
//     sink     P = exp(s - m) / (l + e^..)   entmax15   P = max((s - m)/2 - tau, 0)^2
//     sigmoid  P = 1 / (1 + exp(-s - bias))
//
// All are one function of the score and of two numbers a row, a shift (the maximum m) and a second
// one (1/l or tau). So each streams over tiles once these are known, and one backward serves all:
//
//     dS = J(P) o (dP - D),  D_i = sum_j J_ij dP_ij  (sparsemax, entmax15: / sum_j J_ij)
//
// with J = P, 1[P > 0] or sqrt(P); for sigmoid J = P (1 - P) and D = 0.
#pragma once

#include <cmath>
#include <limits>
#include <utility>

#include <attn/check.hpp>
#include <attn/concepts.hpp>
#include <attn/config.hpp>
#include <attn/engine/packet_math.hpp>
#include <attn/parameter.hpp>

ATTN_BEGIN_NAMESPACE

/// What a normaliser must know of a row before it can turn its scores into weights.
enum class RowStatistic { none, sum_of_exp, threshold };

/// P = exp(s - L), L = log sum_j exp(s_j).  Source: Bridle 1990.
struct Softmax {
  using role = role::normalizer;
  static constexpr RowStatistic statistic = RowStatistic::sum_of_exp;
  template <class A>
  using Gradient = NoGradient;

  template <class S>
  static S probability(const S& s, const S& shift, const S& factor) {
    return engine::exp_of_difference<true>(s, shift) * factor;
  }
  template <class S>
  static S jacobian(const S& p) {
    return p;
  }
  /// The sum that weights are divided by, given sum_j exp(s_j - m).
  template <class A>
  A denominator(A sum, A, Index) const {
    return sum;
  }
  /// log of that sum, shift included, from L alone.
  template <class A>
  A log_denominator(A log_sum_exp, Index) const {
    return log_sum_exp;
  }
};

/// Softmax with one more key, of a given logit a head and without a value: a query may look away.
///
///     P = exp(s - Z),  Z = log(exp(logit_h) + sum_j exp(s_j))
///
/// Shapes  logits: one a head, or one number for all (0: "off by one")
/// Source  Miller 2023; Xiao et al. 2024, section 3.2
struct SoftmaxWithSink {
  using role = role::normalizer;
  static constexpr RowStatistic statistic = RowStatistic::sum_of_exp;
  engine::HeadValues logits = 0.0;

  template <class A>
  struct Gradient {
    VectorX<A> logits;
    auto members() { return std::tie(logits); }
  };
  template <class A>
  Gradient<A> zero_gradient() const {
    return {VectorX<A>::Zero(logits.size())};
  }
  template <class S>
  static S probability(const S& s, const S& shift, const S& factor) {
    return Softmax::probability(s, shift, factor);
  }
  template <class S>
  static S jacobian(const S& p) {
    return p;
  }
  template <class A>
  A denominator(A sum, A shift, Index head) const {
    return sum + std::exp(static_cast<A>(logits(head)) - shift);
  }
  template <class A>
  A log_denominator(A log_sum_exp, Index head) const {
    const A sink = static_cast<A>(logits(head));
    if (sink == -std::numeric_limits<A>::infinity()) return log_sum_exp;
    if (log_sum_exp > sink) return log_sum_exp + std::log1p(std::exp(sink - log_sum_exp));
    return sink + std::log1p(std::exp(log_sum_exp - sink));
  }
  void check(const engine::CallSizes& call) const {
    if (!logits.covers(call.heads))
      engine::raise_shape({call.name, ": SoftmaxWithSink has ", logits.size(),
                           " logits and there are ", call.heads,
                           " query heads; it needs one logit a head"});
  }
};

/// P = sigmoid(s + bias), each weight for itself.  Source: Ramapuram et al. 2024, eq. 3.
struct Sigmoid {
  using role = role::normalizer;
  static constexpr RowStatistic statistic = RowStatistic::none;
  Real bias = 0.0;

  template <class A>
  struct Gradient {
    A bias = A(0);
    auto members() { return std::tie(bias); }
  };
  template <class S>
  S probability(const S& s, const S&, const S&) const {
    return S(1) / (S(1) + engine::exp(-(s + S(double(bias)))));
  }
  template <class S>
  S jacobian(const S& p) const {
    return p * (S(1) - p);
  }
};

/// The nearest point of the simplex: P = max(s - tau, 0).  Source: Martins & Astudillo 2016, eq. 2.
struct Sparsemax {
  using role = role::normalizer;
  static constexpr RowStatistic statistic = RowStatistic::threshold;
  template <class A>
  using Gradient = NoGradient;

  /// What the score gives above the threshold.
  template <class S>
  static S excess(const S& s, const S& shift, const S& tau) {
    const S x = s - shift;
    return engine::select(tau < x, x - tau, S(0));
  }
  template <class S>
  S probability(const S& s, const S& shift, const S& tau) const {
    return engine::select(tau == tau, excess(s, shift, tau), tau);
  }
  template <class S>
  S jacobian(const S& p) const {
    return engine::select(S(0) < p, S(1), p);
  }
  /// sum_j P_j, from the sums of the excess and of its square.
  template <class S>
  static S total(const S& sum, const S&) {
    return sum;
  }
  /// Of n equal scores; no row of n has a larger one.
  template <class A>
  static A largest_threshold(Index n) {
    return A(-1) / static_cast<A>(n > 0 ? n : 1);
  }
  /// A step of Newton's method on sum_j P_j = 1; count: the size of the support.
  template <class S>
  static S newton_step(const S& count, const S& sum, const S&) {
    return (sum - S(1)) / count;
  }
};

/// Between softmax and sparsemax: P = max(s/2 - tau, 0)^2.  Source: Peters et al. 2019, eq. 3 to 5.
struct Entmax15 {
  using role = role::normalizer;
  static constexpr RowStatistic statistic = RowStatistic::threshold;
  template <class A>
  using Gradient = NoGradient;

  template <class S>
  static S excess(const S& s, const S& shift, const S& tau) {
    const S x = (s - shift) * S(0.5);
    return engine::select(tau < x, x - tau, S(0));
  }
  template <class S>
  S probability(const S& s, const S& shift, const S& tau) const {
    const S e = excess(s, shift, tau);
    return engine::select(tau == tau, e * e, tau);
  }
  template <class S>
  S jacobian(const S& p) const {
    return engine::sqrt(p);
  }
  template <class S>
  static S total(const S&, const S& squares) {
    return squares;
  }
  template <class A>
  static A largest_threshold(Index n) {
    return A(-1) / std::sqrt(static_cast<A>(n > 0 ? n : 1));
  }
  template <class S>
  static S newton_step(const S&, const S& sum, const S& squares) {
    return (squares - S(1)) / (sum + sum);
  }
};

ATTN_END_NAMESPACE
