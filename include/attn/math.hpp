// SPDX-License-Identifier: Apache-2.0
// Functions for users' own rules that work on scalars, dual numbers and SIMD packs alike.
//
//     attn::score_mod([](auto score, auto at) { return 30 * attn::math::tanh(score / 30); })
#pragma once

#include <cmath>
#include <type_traits>

#include <attn/config.hpp>
#include <attn/dual.hpp>
#include <attn/engine/packet_math.hpp>

ATTN_BEGIN_NAMESPACE
namespace math {

template <class X>
auto exp(const X& x) {
  using std::exp;
  return exp(x);
}

template <class X>
auto tanh(const X& x) {
  using std::tanh;
  return tanh(x);
}

template <class X>
auto log(const X& x) {
  using std::log;
  return log(x);
}

template <class X>
auto abs(const X& x) {
  using std::abs;
  return abs(x);
}

namespace detail {

// The wider of two argument types: a plain number joins a dual number or a pack.
template <class A, class B>
struct Join {
  using type = std::common_type_t<A, B>;
};
template <class A, class X, int N>
struct Join<A, Dual<X, N>> {
  using type = Dual<X, N>;
};
template <class X, int N, class B>
struct Join<Dual<X, N>, B> {
  using type = Dual<X, N>;
};
template <class X, int N>
struct Join<Dual<X, N>, Dual<X, N>> {
  using type = Dual<X, N>;
};
template <class A, class B>
struct Join<A, engine::Pack<B>> {
  using type = engine::Pack<B>;
};
template <class A, class B>
struct Join<engine::Pack<A>, B> {
  using type = engine::Pack<A>;
};
template <class A>
struct Join<engine::Pack<A>, engine::Pack<A>> {
  using type = engine::Pack<A>;
};
template <class A, class X, int N>
struct Join<engine::Pack<A>, Dual<X, N>> {
  using type = Dual<X, N>;
};
template <class X, int N, class B>
struct Join<Dual<X, N>, engine::Pack<B>> {
  using type = Dual<X, N>;
};
template <class A, class B>
using Joined = typename Join<A, B>::type;

}  // namespace detail

/// yes where the condition holds, no elsewhere; both sides are computed.
template <class Condition, class Yes, class No>
auto select(const Condition& condition, const Yes& yes, const No& no) {
  using X = detail::Joined<Yes, No>;
  if constexpr (std::is_same_v<Condition, bool>) {
    return condition ? X(yes) : X(no);
  } else if constexpr (std::is_arithmetic_v<X>) {
    using P = typename Condition::Numbers;
    return engine::select(condition, P(yes), P(no));
  } else {
    using engine::select;
    return select(condition, X(yes), X(no));
  }
}

template <class A, class B>
auto min(const A& a, const B& b) {
  using X = detail::Joined<A, B>;
  return select(X(b) < X(a), X(b), X(a));
}

template <class A, class B>
auto max(const A& a, const B& b) {
  using X = detail::Joined<A, B>;
  return select(X(a) < X(b), X(b), X(a));
}

}  // namespace math
ATTN_END_NAMESPACE
