// SPDX-License-Identifier: Apache-2.0
// Dual numbers: a value and its derivatives in N directions, carried through a user's own rule.
//
//     f(x + e) = f(x) + f'(x) e,  e e = 0
//
// X is a scalar or a pack of scalars. Results are plain values, never expression templates, so that
// `auto`, `?:` and several return statements in a lambda mean what they seem to.
// Source: Griewank & Walther 2008, chapter 3 (forward mode).
#pragma once

#include <array>
#include <cmath>
#include <concepts>
#include <type_traits>

#include <attn/config.hpp>
#include <attn/engine/packet_math.hpp>

ATTN_BEGIN_NAMESPACE

namespace engine {

template <class C, class X>
concept OtherNumber = std::is_arithmetic_v<C> && !std::same_as<C, X>;

}  // namespace engine

template <class X, int N = 1>
struct Dual {
  X value{};
  std::array<X, N> derivative{};

  Dual() = default;
  Dual(const X& v) : value(v) {}  // NOLINT: a constant is a dual number without derivative
  template <engine::OtherNumber<X> C>
  Dual(C constant) : value(static_cast<X>(constant)) {}  // NOLINT

  /// The variable number `direction`: its own derivative is 1.
  static Dual variable(const X& v, int direction) {
    Dual result(v);
    result.derivative[static_cast<std::size_t>(direction)] = X(1);
    return result;
  }

  /// The chain rule: a function of this number, with value f and derivative df at `value`.
  Dual chain(const X& f, const X& df) const {
    Dual result(f);
    for (std::size_t k = 0; k < N; ++k) result.derivative[k] = df * derivative[k];
    return result;
  }

  friend Dual operator+(const Dual& a, const Dual& b) {
    return combine(a, b, a.value + b.value, X(1), X(1));
  }
  friend Dual operator-(const Dual& a, const Dual& b) {
    return combine(a, b, a.value - b.value, X(1), X(-1));
  }
  friend Dual operator*(const Dual& a, const Dual& b) {
    return combine(a, b, a.value * b.value, b.value, a.value);
  }
  friend Dual operator/(const Dual& a, const Dual& b) {
    const X quotient = a.value / b.value;
    return combine(a, b, quotient, X(1) / b.value, -quotient / b.value);
  }
  friend Dual operator+(const Dual& a) { return a; }
  friend Dual operator-(const Dual& a) { return a.chain(-a.value, X(-1)); }
  Dual& operator+=(const Dual& b) { return *this = *this + b; }
  Dual& operator-=(const Dual& b) { return *this = *this - b; }
  Dual& operator*=(const Dual& b) { return *this = *this * b; }
  Dual& operator/=(const Dual& b) { return *this = *this / b; }

  friend auto operator<(const Dual& a, const Dual& b) { return a.value < b.value; }
  friend auto operator<=(const Dual& a, const Dual& b) { return a.value <= b.value; }
  friend auto operator>(const Dual& a, const Dual& b) { return a.value > b.value; }
  friend auto operator>=(const Dual& a, const Dual& b) { return a.value >= b.value; }
  friend auto operator==(const Dual& a, const Dual& b) { return a.value == b.value; }

 private:
  static Dual combine(const Dual& a, const Dual& b, const X& f, const X& df_da, const X& df_db) {
    Dual result(f);
    for (std::size_t k = 0; k < N; ++k)
      result.derivative[k] = df_da * a.derivative[k] + df_db * b.derivative[k];
    return result;
  }
};

template <class X, int N>
Dual<X, N> exp(const Dual<X, N>& a) {
  using std::exp;
  const X e = exp(a.value);
  return a.chain(e, e);
}

template <class X, int N>
Dual<X, N> log(const Dual<X, N>& a) {
  using std::log;
  return a.chain(log(a.value), X(1) / a.value);
}

template <class X, int N>
Dual<X, N> tanh(const Dual<X, N>& a) {
  using std::tanh;
  const X t = tanh(a.value);
  return a.chain(t, X(1) - t * t);
}

template <class X, int N>
Dual<X, N> sqrt(const Dual<X, N>& a) {
  using std::sqrt;
  const X root = sqrt(a.value);
  return a.chain(root, X(1) / (root + root));
}

template <std::floating_point X, int N>
Dual<X, N> sin(const Dual<X, N>& a) {
  return a.chain(std::sin(a.value), std::cos(a.value));
}

template <std::floating_point X, int N>
Dual<X, N> cos(const Dual<X, N>& a) {
  return a.chain(std::cos(a.value), -std::sin(a.value));
}

template <std::floating_point X, int N>
Dual<X, N> pow(const Dual<X, N>& a, double exponent) {
  const X e = static_cast<X>(exponent);
  return a.chain(std::pow(a.value, e), e * std::pow(a.value, e - X(1)));
}

/// Either branch by condition, a bool or a pack mask.
template <class X, int N>
Dual<X, N> select(bool condition, const Dual<X, N>& yes, const Dual<X, N>& no) {
  return condition ? yes : no;
}

template <class A, int N>
Dual<engine::Pack<A>, N> select(const engine::PackMask<A>& condition,
                                const Dual<engine::Pack<A>, N>& yes,
                                const Dual<engine::Pack<A>, N>& no) {
  Dual<engine::Pack<A>, N> result(engine::select(condition, yes.value, no.value));
  for (std::size_t k = 0; k < N; ++k)
    result.derivative[k] = engine::select(condition, yes.derivative[k], no.derivative[k]);
  return result;
}

template <class X, int N>
Dual<X, N> abs(const Dual<X, N>& a) {
  return select(a.value < X(0), -a, a);
}

template <class X, int N>
Dual<X, N> min(const Dual<X, N>& a, const Dual<X, N>& b) {
  return select(b.value < a.value, b, a);
}

template <class X, int N>
Dual<X, N> max(const Dual<X, N>& a, const Dual<X, N>& b) {
  return select(a.value < b.value, b, a);
}

// What Eigen asks of a scalar in a row: score_function's rows hold dual numbers in backward.
template <class X, int N>
Dual<X, N> conj(const Dual<X, N>& a) {
  return a;
}
template <class X, int N>
Dual<X, N> real(const Dual<X, N>& a) {
  return a;
}
template <class X, int N>
Dual<X, N> imag(const Dual<X, N>&) {
  return Dual<X, N>();
}
template <class X, int N>
Dual<X, N> abs2(const Dual<X, N>& a) {
  return a * a;
}

ATTN_END_NAMESPACE

namespace Eigen {

template <class X, int N>
struct NumTraits<attn::Dual<X, N>> : NumTraits<X> {
  using Real = attn::Dual<X, N>;
  using NonInteger = attn::Dual<X, N>;
  using Nested = attn::Dual<X, N>;
  using Literal = attn::Dual<X, N>;
  enum { RequireInitialization = 1, AddCost = N + 1, MulCost = 2 * N + 1 };
};

// Rows of dual numbers meet matrices of plain numbers, W q for one.
template <class X, int N, class Operation>
struct ScalarBinaryOpTraits<attn::Dual<X, N>, X, Operation> {
  using ReturnType = attn::Dual<X, N>;
};
template <class X, int N, class Operation>
struct ScalarBinaryOpTraits<X, attn::Dual<X, N>, Operation> {
  using ReturnType = attn::Dual<X, N>;
};

}  // namespace Eigen
