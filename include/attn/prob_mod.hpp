// SPDX-License-Identifier: Apache-2.0
// Probability modifiers: what happens to a weight after normalising: dropout, or a user's own rule.
#pragma once

#include <cstdint>
#include <type_traits>
#include <utility>

#include <attn/check.hpp>
#include <attn/concepts.hpp>
#include <attn/config.hpp>
#include <attn/engine/packet.hpp>
#include <attn/score_mod.hpp>
#include <attn/user_function.hpp>

ATTN_BEGIN_NAMESPACE

/// Sets each weight to 0 with probability p and divides the others by 1 - p.
///
/// The pattern is a function of (seed, batch, head, query, key) alone, so it does not depend on
/// tiles or threads, and backward makes it again. Throws ValueError unless 0 <= p < 1. Source:
/// Srivastava et al. 2014; a generator without state as in Salmon et al. 2011, with the mixing
/// function of Steele et al. 2014 (SplitMix).
struct Dropout {
  using role = role::prob_mod;
  /// p' = c_ij p, so it may be applied before the sum of the row is known.
  static constexpr bool is_linear = true;
  Real p = 0.0;
  Seed seed = 0;

  static constexpr std::uint64_t mix(std::uint64_t x) {
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
  }
  /// A uniform number in [0, 1) that belongs to this position.
  double uniform(const Position& at) const {
    std::uint64_t x = mix(seed);
    for (Index part : {at.batch, at.head, at.query, at.key})
      x = mix(x ^ static_cast<std::uint64_t>(part));
    return static_cast<double>(x >> 11) * 0x1p-53;
  }
  double factor(const Position& at) const { return uniform(at) < p ? 0.0 : 1.0 / (1.0 - p); }

  template <class S, class At>
  S apply(const S& weight, const At& at, Extent) const {
    return weight * engine::number_for<S>(at, [&](const Position& x) { return factor(x); });
  }
  template <class A>
  using Gradient = NoGradient;
  void check(const engine::CallSizes& call) const {
    if (!(p >= 0.0 && p < 1.0))
      engine::raise_value({call.name, ": Dropout's p is ", double(p), "; it must be in [0, 1)"});
  }
  template <class S, class At, class G>
  S backward(const S&, const S& d_out, const At& at, Extent extent, G&) const {
    return apply(d_out, at, extent);
  }
};

/// A probability modifier of the user's own.
template <class F, class... P>
struct ProbMod : engine::UserFunction<F, P...> {
  using role = role::prob_mod;
  static constexpr bool is_linear = false;
};

/// p' = f(p, position): as score_mod, on the weights. Nothing is normalised again.
template <class F, class... P>
ProbMod<std::decay_t<F>, std::decay_t<P>...> prob_mod(F&& f, P&&... parameters) {
  static_assert(engine::takes_position<std::decay_t<F>,
                                       typename engine::PlainNumber<std::decay_t<P>>::type...>,
                "attn::prob_mod: the function must take a weight and an attn::Position (and one "
                "argument for each registered parameter): [](auto p, attn::Position at) {...}.");
  return {{std::forward<F>(f), {std::forward<P>(parameters)...}}};
}

ATTN_END_NAMESPACE
