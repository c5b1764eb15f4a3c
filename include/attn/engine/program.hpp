// SPDX-License-Identifier: Apache-2.0
// A program: the parts of one call, sorted by role, with the rules applied in the order of the
// pipeline: score modifiers, masks, (normaliser,) probability modifiers; and backwards.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <tuple>
#include <type_traits>
#include <utility>

#include <attn/check.hpp>
#include <attn/concepts.hpp>
#include <attn/config.hpp>
#include <attn/engine/packet.hpp>
#include <attn/mask.hpp>
#include <attn/result.hpp>

ATTN_BEGIN_NAMESPACE
namespace engine {

template <class A>
inline constexpr A minus_infinity = -std::numeric_limits<A>::infinity();

/// L of a row, from its maximum and the sum of its exponentials: -inf where it sees nothing.
template <class A>
A log_sum_exp_of(A maximum, A sum) {
  return sum == A(0) ? minus_infinity<A> : maximum + std::log(sum);
}

/// 1 / denominator of a row of head h: 0 where it sees nothing.
template <class Normalizer, class A>
A factor_of(const Normalizer& normalizer, A maximum, A sum, Index h) {
  return sum == A(0) ? A(0) : A(1) / normalizer.denominator(sum, maximum, h);
}

template <class M>
inline constexpr bool can_mask = requires {
  requires M::can_mask;
};

/// A modifier that has nothing to look up once a tile.
template <class Mod>
struct Unbound {
  const Mod& mod;

  template <class S, class At>
  S apply(const S& s, const At& at, Extent e) const {
    return mod.apply(s, at, e);
  }
};

/// Parts by reference. Mods, Masks and Probs are tuples of references to parts.
template <class A, class Score, class Normalizer, class Mods, class Masks, class Probs>
struct Program;

template <class A, class Score, class Normalizer, class... Mod, class... Mask, class... Prob>
struct Program<A, Score, Normalizer, std::tuple<const Mod&...>, std::tuple<const Mask&...>,
               std::tuple<const Prob&...>> {
  using Accumulator = A;
  using NormalizerPart = Normalizer;
  using Gradients = PartGradients<A, Score, Normalizer, Mod..., Prob...>;
  static constexpr std::size_t mod_count = sizeof...(Mod);
  static constexpr std::size_t prob_count = sizeof...(Prob);
  static constexpr bool has_masks = sizeof...(Mask) > 0;
  /// Whether weights may be modified before the sum of their row is known.
  static constexpr bool probs_are_linear = (true && ... && Prob::is_linear);
  /// Whether a score of -inf may come from a modifier.
  static constexpr bool mods_can_mask = (false || ... || can_mask<Mod>);

  const Score& score;
  const Normalizer& normalizer;
  std::tuple<const Mod&...> mods;
  std::tuple<const Mask&...> masks;
  std::tuple<const Prob&...> probs;
  PositionOffset offset;
  const KeyPadding* padding;  ///< of this call, or null
  Index n_q;
  Index n_k;
  Index first_batch = 0;  ///< what parts see as the batch of the call's first one

  Gradients zero_gradients() const {
    return std::apply([&](const auto&... part) { return Gradients(score, normalizer, part...); },
                      std::tuple_cat(mods, probs));
  }

  /// The same with room for those of the probability modifiers alone.
  Gradients zero_prob_gradients() const {
    Gradients g;
    [&]<std::size_t... I>(std::index_sequence<I...>) {
      ((g.template at<2 + mod_count + I>() = zero_gradient<A>(std::get<I>(probs))), ...);
    }
    (std::make_index_sequence<prob_count>());
    return g;
  }

  void check(const CallSizes& sizes) const {
    check_part(score, sizes);
    check_part(normalizer, sizes);
    std::apply([&](const auto&... part) { (check_part(part, sizes), ...); },
               std::tuple_cat(mods, masks, probs));
  }

  Extent extent(Index batch) const {
    return {n_q, padding ? std::min(n_k, padding->length(batch)) : n_k};
  }

  /// A tile of this call's own queries and keys, in the positions that parts see.
  Tile tile(Index b, Index h, Index query, Index queries, Index key, Index keys) const {
    const Index i = query + offset.query, j = key + offset.key, batch = first_batch + b;
    return {batch, h, i, i + queries - 1, j, j + keys - 1, extent(batch)};
  }

  PackPosition<A> place(const Tile& t, Index query, Index key) const {
    const Index first = t.first_query + query;
    return {t.batch,           t.head, Pack<A>::first_and_up(static_cast<A>(first)),
            t.first_key + key, first,  std::min<Index>(Pack<A>::width, t.last_query - first + 1)};
  }

  Verdict verdict(const Tile& t) const {
    Verdict all = Verdict::full;
    std::apply(
        [&](const auto&... mask) {
          static_cast<void>(
              (true && ... && ((all = std::min(all, mask.verdict(t))) != Verdict::empty)));
        },
        masks);
    return all;
  }

  /// The score modifiers as one function of a score and its position, for one tile.
  ATTN_INLINE auto modifier(const Tile& t) const {
    return [bound = std::apply([&](const Mod&... mod) { return std::tuple(bind<Mod>(mod, t)...); },
                               mods),
            e = t.extent](Pack<A> s, [[maybe_unused]] const PackPosition<A>& at) {
      std::apply([&](const auto&... mod) { ((s = mod.apply(s, at, e)), ...); }, bound);
      return s;
    };
  }

  /// The scores, `hidden` where a mask says no. Most packs of a mixed tile are wholly visible or
  /// hidden, which the masks tell at once.
  Pack<A> mask(const Pack<A>& s, const PackPosition<A>& at, Extent e, A hidden) const {
    const Index last_query = at.first_query + at.lanes - 1;
    switch (verdict({at.batch, at.head, at.first_query, last_query, at.key, at.key, e})) {
      case Verdict::full:
        return s;
      case Verdict::empty:
        return Pack<A>(hidden);
      case Verdict::mixed:
        break;
    }
    PackMask<A> visible = PackMask<A>::all(true);
    std::apply([&](const auto&... mask) { ((visible = visible & permits_pack(mask, at, e)), ...); },
               masks);
    return select(visible, s, Pack<A>(hidden));
  }

  template <class M>
  ATTN_INLINE static auto bind(const M& mod, [[maybe_unused]] const Tile& t) {
    if constexpr (requires { mod.template bind<A>(t); })
      return mod.template bind<A>(t);
    else
      return Unbound<M>{mod};
  }

  Pack<A> modify_probability(Pack<A> p, const PackPosition<A>& at,
                             [[maybe_unused]] Extent e) const {
    std::apply([&](const auto&... mod) { ((p = mod.apply(p, at, e)), ...); }, probs);
    return p;
  }

  /// A score after its modifiers, each by its own rule, as in through_mods.
  Pack<A> modify_score(Pack<A> s, const PackPosition<A>& at, [[maybe_unused]] Extent e) const {
    std::apply([&](const auto&... mod) { ((s = mod.apply(s, at, e)), ...); }, mods);
    return s;
  }

  /// Walks the score modifiers forward, asks inner(s) for the gradient of the last score, and walks
  /// back; returns the gradient of the raw score.
  template <std::size_t I = 0, class Inner>
  Pack<A> through_mods(const Pack<A>& s, const PackPosition<A>& at, Extent e, Gradients& g,
                       Inner&& inner) const {
    if constexpr (I == mod_count) {
      return inner(s);
    } else {
      const auto& mod = std::get<I>(mods);
      const Pack<A> d = through_mods<I + 1>(mod.apply(s, at, e), at, e, g, inner);
      return mod.backward(s, d, at, e, g.template at<2 + I>());
    }
  }

  /// The same for the probability modifiers: dP from dP', the gradient of the modified weight.
  template <std::size_t I = 0>
  Pack<A> through_probs(const Pack<A>& p, const Pack<A>& d_modified, const PackPosition<A>& at,
                        Extent e, Gradients& g) const {
    if constexpr (I == prob_count) {
      return d_modified;
    } else {
      const auto& mod = std::get<I>(probs);
      const Pack<A> d = through_probs<I + 1>(mod.apply(p, at, e), d_modified, at, e, g);
      return mod.backward(p, d, at, e, g.template at<2 + mod_count + I>());
    }
  }
};

}  // namespace engine
ATTN_END_NAMESPACE
