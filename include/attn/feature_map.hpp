// SPDX-License-Identifier: Apache-2.0
// Feature maps of kernel attention: a function of one number, applied to every number of Q and K.
//
// Weights are phi(q) . phi(k), so a map whose values are positive makes positive weights.
// Next: kernel_attention.hpp.
#pragma once

#include <algorithm>
#include <concepts>
#include <type_traits>
#include <utility>

#include <attn/concepts.hpp>
#include <attn/config.hpp>
#include <attn/dual.hpp>
#include <attn/engine/convert.hpp>
#include <attn/engine/packet.hpp>
#include <attn/math.hpp>

ATTN_BEGIN_NAMESPACE

namespace role {
struct feature_map {};
}  // namespace role

/// elu(x) + 1: x + 1 above 0, exp(x) below. The default.
/// Source  Katharopoulos et al. 2020, eq. 7
struct EluPlusOne {
  using role = role::feature_map;
  static constexpr bool takes_packs = true;

  template <class X>
  X operator()(const X& x) const {
    return math::select(x > X(0), x + X(1), math::exp(math::min(x, X(0))));
  }
};

/// A function of the user's as a feature map, see feature_map(f).
template <class F>
struct FeatureMap {
  using role = role::feature_map;
  static constexpr bool takes_packs = false;
  F f;

  template <class X>
  X operator()(const X& x) const {
    return static_cast<X>(f(x));
  }
};

/// phi(x) = f(x), called with one number in the accumulator type, and in backward with a dual
/// number: write `[](auto x)`, and unqualified math after `using std::tanh;`.
template <class F>
FeatureMap<F> feature_map(F f) {
  static_assert(std::invocable<const F&, float> || std::invocable<const F&, double>,
                "attn: a feature map is a function of one number. Write it as [](auto x) { ... }.");
  return {std::move(f)};
}

namespace engine {

/// x = phi(x), number by number.
template <class A, class Map>
void apply_map(const Map& map, A* x, Index count) {
  if constexpr (Map::takes_packs) {
    using P = Pack<A>;
    Index i = 0;
    for (; i + P::width <= count; i += P::width) map(P::load(x + i)).store(x + i);
    if (i < count) store_first_as(map(load_first_as<A>(x + i, count - i)), x + i, count - i);
  } else {
    for (Index i = 0; i < count; ++i) x[i] = map(x[i]);
  }
}

/// d = d phi'(x); where nothing flows the slope, which may be infinite, is left out.
template <class A, class Map>
void apply_slope(const Map& map, const A* x, A* d, Index count) {
  const auto slope = [&](const auto& at) {
    using X = std::remove_cvref_t<decltype(at)>;
    return map(Dual<X, 1>::variable(at, 0)).derivative[0];
  };
  if constexpr (Map::takes_packs) {
    using P = Pack<A>;
    for (Index i = 0; i < count; i += P::width) {
      const Index lanes = std::min(P::width, count - i);
      const P flow = load_first_as<A>(d + i, lanes);
      const P result = flow * slope(load_first_as<A>(x + i, lanes));
      store_first_as(select(flow == P(0), P(0), result), d + i, lanes);
    }
  } else {
    for (Index i = 0; i < count; ++i) d[i] = d[i] == A(0) ? A(0) : d[i] * slope(x[i]);
  }
}

}  // namespace engine
ATTN_END_NAMESPACE
