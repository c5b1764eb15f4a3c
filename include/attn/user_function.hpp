// SPDX-License-Identifier: Apache-2.0
// How a user's own rule f(value, position, parameters...) is called: with scalars, with packs of
// scalars where it takes `auto at`, and with dual numbers where a gradient is wanted.
//
// Next: score_mod.hpp and prob_mod.hpp, which give such rules their roles.
#pragma once

#include <array>
#include <cstddef>
#include <functional>
#include <tuple>
#include <type_traits>
#include <utility>

#include <attn/concepts.hpp>
#include <attn/config.hpp>
#include <attn/dual.hpp>
#include <attn/engine/packet.hpp>
#include <attn/math.hpp>

ATTN_BEGIN_NAMESPACE
namespace engine {

template <std::floating_point S>
S sum(S number) {
  return number;
}

/// A position as a rule with `auto at` sees it when it is called with one scalar: `query` is a
/// number in the accumulator type, as a lane of PackPosition is.
template <class A>
struct NumberPosition {
  Index batch;
  Index head;
  A query;
  Index key;

  static NumberPosition of(const Position& p) {
    return {p.batch, p.head, static_cast<A>(p.query), p.key};
  }
};

template <class P>
struct PlainNumber {
  using type = P;
};
template <class P>
struct PlainNumber<std::reference_wrapper<P>> {
  using type = std::remove_const_t<P>;
};

/// Whether f takes `auto at`, and so packs: Pack positions do not convert to Position.
template <class A, class F, class... P>
using TakesPacks =
    std::is_invocable<const F&, Pack<A>, PackPosition<A>, std::conditional_t<true, Pack<A>, P>...>;

template <class A, class F, class... P>
inline constexpr bool takes_packs = TakesPacks<A, F, P...>::value;

/// Whether f can be differentiated: it takes `auto score`.
template <class A, class F, class... P>
inline constexpr bool takes_duals = std::disjunction_v<
    TakesPacks<A, F, P...>,
    std::is_invocable<const F&, Dual<A, 1 + int(sizeof...(P))>, Position,
                      std::conditional_t<true, Dual<A, 1 + int(sizeof...(P))>, P>...>>;

template <class F, class... P>
inline constexpr bool takes_position =
    std::disjunction_v<TakesPacks<float, F, P...>,  // first: `auto at` is not asked for Position
                       std::is_invocable<const F&, float, Position, P...>,
                       std::is_invocable<const F&, double, Position, P...>>;

/// A rule and the numbers that it is registered with.
template <class F, class... P>
struct UserFunction {
  F f;
  std::tuple<P...> parameters{};
  static constexpr int directions = 1 + int(sizeof...(P));

  template <class A>
  struct Gradient {
    VectorX<A> parameters;  ///< one number for each registered parameter, in their order
    auto members() { return std::tie(parameters); }
  };

  template <class A>
  Gradient<A> zero_gradient() const {
    return {VectorX<A>::Zero(Index(sizeof...(P)))};
  }

  template <class S>
  S apply(const S& value, const Position& at, Extent) const {
    return scalar(value, at);
  }

  template <class S, class A>
  S apply(const S& values, const PackPosition<A>& at, Extent) const {
    if constexpr (takes_packs<A, F, P...>) {
      return call<S>(values, at, [](auto number) { return S(number); });
    } else {
      return map_positions(values, at, [&](A value, Position p) { return scalar(value, p); });
    }
  }

  template <class S, class A>
  S backward(const S& values, const S& d_out, const PackPosition<A>& at, Extent,
             Gradient<A>& gradient) const {
    static_assert(
        takes_duals<A, F, P...>,
        "attn::attention_backward: this score_mod or prob_mod takes a plain number, which "
        "works forward only. Write it with `auto score`, so that it takes dual numbers.");
    if constexpr (takes_packs<A, F, P...>) {
      return differentiate(values, d_out, at, gradient);
    } else {
      A value[S::width], d[S::width];
      values.store(value);
      d_out.store(d);
      for (Index l = 0; l < S::width; ++l)
        d[l] = l < at.lanes ? differentiate(value[l], d[l], at.lane(l), gradient) : A(0);
      return S::load(d);
    }
  }

 private:
  template <class S>
  S scalar(const S& value, const Position& at) const {
    if constexpr (takes_packs<S, F, P...>) {
      return call<S>(value, NumberPosition<S>::of(at), [](auto n) { return static_cast<S>(n); });
    } else {
      return call<S>(value, at, [](auto n) { return static_cast<S>(n); });
    }
  }

  /// f(value, at, make(parameter)...), with the parameters made in their order: braces promise it.
  template <class S, class At, class Make>
  S call(const S& value, const At& at, [[maybe_unused]] Make&& make) const {
    const std::array<S, sizeof...(P)> numbers = std::apply(
        [&](const auto&... p) {
          return std::array<S, sizeof...(P)>{make(static_cast<number_t<decltype(p)>>(p))...};
        },
        parameters);
    return std::apply([&](const auto&... n) { return static_cast<S>(f(value, at, n...)); },
                      numbers);
  }
  template <class R>
  using number_t = typename PlainNumber<std::remove_cvref_t<R>>::type;

  /// d_out times the derivative by the value; adds those by the parameters to the gradient.
  template <class X, class At, class A>
  X differentiate(const X& value, const X& d_out, const At& at, Gradient<A>& gradient) const {
    using D = Dual<X, directions>;
    int next = 0;
    const D result = call<D>(D::variable(value, 0), at,
                             [&](auto n) { return D::variable(X(static_cast<A>(n)), ++next); });
    for (std::size_t k = 1; k < std::size_t(directions); ++k)
      gradient.parameters(Index(k) - 1) += sum(through(d_out, result.derivative[k]));
    return through(d_out, result.derivative[0]);
  }
  /// The product, 0 where nothing flows: a masked position may have an infinite derivative.
  template <class X>
  static X through(const X& d_out, const X& derivative) {
    return math::select(d_out == X(0), X(0), d_out * derivative);
  }
};

}  // namespace engine
ATTN_END_NAMESPACE
