// SPDX-License-Identifier: Apache-2.0
// Linear attention token by token: the recurrence itself, for decoding and for what chunks refuse.
//
//     S <- diag(f) S,  w = v  or  beta (v - S^T k),  S <- S + k w^T,  o = S^T q
//
// Columns of S do not meet one another, so a token takes some packs of columns at a time: they stay
// in the first-level cache (d_k rows of 256 bytes) while they are decayed, read, written and read
// again. Bytes: S once in and once out a token. Flops: 6 d_k d_v a token, 8 with a delta rule.
#pragma once

#include <attn/config.hpp>
#include <attn/engine/convert.hpp>
#include <attn/engine/packet.hpp>
#include <attn/engine/packing.hpp>

ATTN_BEGIN_NAMESPACE
namespace engine {

/// Neighbouring tokens of one batch and key-value head in the accumulator type, with the query
/// heads that share its state.
template <class A>
struct TokenBlock {
  Index count;
  Index group;  ///< query heads
  Index d_k;
  Index d_v;
  const A* q;       ///< [token][query head][d_k], times the scale
  const A* k;       ///< [token][d_k]
  const A* v;       ///< [token][d_v], rows v_stride apart
  const A* factor;  ///< [token][factors], what the state is multiplied with; null: 1
  const A* beta;    ///< [token]; null: a rule that writes v as it is
  A* out;           ///< [token][query head][d_v], rows v_stride apart
  Index v_stride;   ///< whole packs
  Index factors;    ///< 1 for all rows of the state, or d_k

  TokenBlock part(Index first, Index tokens) const {
    TokenBlock x = *this;
    x.count = tokens;
    x.q += first * group * d_k;
    x.k += first * d_k;
    x.v += first * v_stride;
    if (factor) x.factor += first * factors;
    if (beta) x.beta += first;
    x.out += first * group * v_stride;
    return x;
  }
};

/// Packs of columns that a token takes at a time; several hide the latency of the sums.
inline constexpr Index step_packs = 4;

/// Columns first .. first + count - 1 of one token: whole packs, or one pack that may be cut short.
template <Index packs, class A>
ATTN_NOINLINE void step_columns(const TokenBlock<A>& x, const Rows<A>& state, Index first,
                                [[maybe_unused]] Index count) {
  using P = Pack<A>;
  const auto load = [&](const A* from, Index p) {
    if constexpr (packs > 1)
      return P::load(from + first + p * P::width);
    else
      return load_first_as<A>(from + first, count);
  };
  const auto store = [&](const P& numbers, A* to, Index p) {
    if constexpr (packs > 1)
      numbers.store(to + first + p * P::width);
    else
      store_first_as(numbers, to + first, count);
  };
  const Index factor_step = x.factors == 1 ? 0 : 1;
  const auto decayed = [&](Index d, Index p) {
    const P s = load(state.row(d), p);
    return x.factor ? s * P(x.factor[d * factor_step]) : s;
  };
  P w[packs], o[packs];
  for (Index p = 0; p < packs; ++p) o[p] = P(0);
  for (Index p = 0; p < packs; ++p) w[p] = load(x.v, p);
  if (x.beta) {
    for (Index d = 0; d < x.d_k; ++d)
      for (Index p = 0; p < packs; ++p) o[p] = multiply_add(P(x.k[d]), decayed(d, p), o[p]);
    for (Index p = 0; p < packs; ++p) w[p] = P(x.beta[0]) * (w[p] - o[p]);
    for (Index p = 0; p < packs; ++p) o[p] = P(0);
  }
  for (Index d = 0; d < x.d_k; ++d)
    for (Index p = 0; p < packs; ++p) {
      const P s = multiply_add(P(x.k[d]), w[p], decayed(d, p));
      store(s, state.row(d), p);
      o[p] = multiply_add(P(x.q[d]), s, o[p]);
    }
  for (Index p = 0; p < packs; ++p) store(o[p], x.out, p);
  for (Index h = 1; h < x.group; ++h) {
    for (Index p = 0; p < packs; ++p) o[p] = P(0);
    for (Index d = 0; d < x.d_k; ++d)
      for (Index p = 0; p < packs; ++p)
        o[p] = multiply_add(P(x.q[h * x.d_k + d]), load(state.row(d), p), o[p]);
    for (Index p = 0; p < packs; ++p) store(o[p], x.out + h * x.v_stride, p);
  }
}

/// All tokens of a block, one after the other.
template <class A>
void run_recurrence(const TokenBlock<A>& block, const Rows<A>& state) {
  constexpr Index wide = step_packs * Pack<A>::width;
  for (Index t = 0; t < block.count; ++t) {
    const TokenBlock<A> token = block.part(t, 1);
    Index first = 0;
    for (; first + wide <= block.d_v; first += wide)
      step_columns<step_packs>(token, state, first, wide);
    for (; first < block.d_v; first += Pack<A>::width)
      step_columns<1>(token, state, first, block.d_v - first);
  }
}

}  // namespace engine
ATTN_END_NAMESPACE
