// SPDX-License-Identifier: Apache-2.0
// The statistics of a row of scores, gathered tile by tile: maximum and sum for softmax, and the
// threshold of sparsemax and entmax.
//
//     m' = max(m, s_j),  l' = l exp(m - m') + sum_j exp(s_j - m'),  L = m + log l
//
// m starts at the lowest finite number, never at -inf, so that no -inf - -inf arises: a row that
// sees nothing keeps l = 0. Source: Milakov & Gimelshein 2018, algorithm 3; Dao 2023, algorithm 1.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>

#include <attn/config.hpp>
#include <attn/engine/kernel.hpp>
#include <attn/engine/packet_math.hpp>
#include <attn/engine/panel.hpp>
#include <attn/engine/program.hpp>
#include <attn/workspace.hpp>

ATTN_BEGIN_NAMESPACE
namespace engine {

/// Maximum and sum for every query of a block.
template <class A>
struct OnlineRows {
  A* maximum;
  A* sum;
  A* rescale;  ///< exp(m - m') of the last update

  OnlineRows(Arena& arena, Index queries)
      : maximum(arena.take<A>(padded<A>(queries))),
        sum(arena.take<A>(padded<A>(queries))),
        rescale(arena.take<A>(padded<A>(queries))) {}

  void start(Index queries) const {
    std::fill_n(maximum, padded<A>(queries), std::numeric_limits<A>::lowest());
    std::fill_n(sum, padded<A>(queries), A(0));
  }

  /// Takes in the keys of a tile, whose scores the new maximum covers; turns them into exp(s - m').
  /// `hides`: some score may be -inf.
  void update(const PaddedTile<A>& s, const Panel& panel, Index keys, const A* highest,
              bool hides) const {
    with_packs(panel.packs, [&](auto packs) {
      if (hides || sees_nothing<packs>(highest))
        update_packs<packs, true>(s, panel.first, keys, highest);
      else
        update_packs<packs, false>(s, panel.first, keys, highest);
    });
  }

  A log_sum_exp(Index i) const { return log_sum_exp_of(maximum[i], sum[i]); }

 private:
  /// Whether every score of some row so far is -inf by itself, without a mask.
  template <Index packs>
  static bool sees_nothing(const A* highest) {
    PackMask<A> none = PackMask<A>::all(false);
    for (Index p = 0; p < packs; ++p)
      none = none | (Pack<A>::load(highest + p * Pack<A>::width) <=
                     Pack<A>(std::numeric_limits<A>::lowest()));
    return any(none);
  }

  /// All packs of a panel side by side: their exponentials do not wait for one another.
  template <Index packs, bool hides>
  ATTN_NOINLINE void update_packs(const PaddedTile<A>& s, Index first, Index keys,
                                  const A* highest) const {
    constexpr Index width = Pack<A>::width;
    Pack<A> m[packs], total[packs];
    ATTN_UNROLL
    for (Index p = 0; p < packs; ++p) {
      const Index i = first + p * width;
      m[p] = Pack<A>::load(highest + p * width);
      const Pack<A> scale = exp_of_difference<false>(Pack<A>::load(maximum + i), m[p]);
      total[p] = Pack<A>::load(sum + i) * scale;
      m[p].store(maximum + i);
      scale.store(rescale + i);
    }
    A* scores = s.data;
    const Index stride = s.stride;  // a copy: a store might have changed s, as far as g++ can see
    for (Index j = 0; j < keys; ++j, scores += stride) {
      ATTN_UNROLL
      for (Index p = 0; p < packs; ++p) {
        A* score = scores + p * width;
        const Pack<A> e = exp_of_difference<hides>(Pack<A>::load(score), m[p]);
        total[p] += e;
        e.store(score);
      }
    }
    ATTN_UNROLL
    for (Index p = 0; p < packs; ++p) total[p].store(sum + first + p * width);
  }
};

/// C *= factor, row by row.
template <class A>
void scale_rows(const PaddedTile<A>& c, Index rows, Index cols, const A* factor) {
  for (Index j = 0; j < cols; ++j)
    for (Index i = 0; i < rows; i += Pack<A>::width)
      (Pack<A>::load(c.column(j) + i) * Pack<A>::load(factor + i)).store(c.column(j) + i);
}

/// Shift and threshold of one pack of rows whose scores against all keys are in `s`.
///
/// Newton's method on sum_j P_j = 1, which is convex in tau: from below it stays below, so a few
/// steps do. Where rounding carries it past the root (many equal scores), the next one goes back.
template <class Normalizer, class A>
void find_threshold(const PaddedTile<A>& s, Index i, Index keys, A* shift, A* threshold) {
  const A lowest = std::numeric_limits<A>::lowest();
  Pack<A> m(lowest), broken(0);
  for (Index j = 0; j < keys; ++j) {
    const Pack<A> score = Pack<A>::load(s.column(j) + i);
    m = max(m, score);
    broken += select(score < Pack<A>(std::numeric_limits<A>::infinity()), Pack<A>(0), Pack<A>(1));
  }
  const Pack<A> most(Normalizer::template largest_threshold<A>(keys));
  const Pack<A> enough(std::numeric_limits<A>::epsilon() *
                       (A(4) + std::sqrt(static_cast<A>(keys))));  // what summing rounds away
  Pack<A> tau(-1);  // the largest score alone already gives a sum of 1 or more
  for (int step = 0; step < 64; ++step) {
    Pack<A> count(0), first(0), second(0);
    for (Index j = 0; j < keys; ++j) {
      const Pack<A> e = Normalizer::excess(Pack<A>::load(s.column(j) + i), m, tau);
      count += select(Pack<A>(0) < e, Pack<A>(1), Pack<A>(0));
      first += e;
      second += e * e;
    }
    const PackMask<A> moves =
        (Pack<A>(lowest) < m) & (enough < abs(Normalizer::total(first, second) - Pack<A>(1)));
    tau = select(moves, min(tau + Normalizer::newton_step(count, first, second), most), tau);
    if (!any(moves)) break;
  }
  m.store(shift + i);
  const Pack<A> nan(std::numeric_limits<A>::quiet_NaN());
  select(Pack<A>(0) < broken, nan, tau).store(threshold + i);
}

}  // namespace engine
ATTN_END_NAMESPACE
