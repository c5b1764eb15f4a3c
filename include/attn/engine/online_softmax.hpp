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
#include <cstddef>
#include <limits>

#include <attn/config.hpp>
#include <attn/engine/packet.hpp>
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

  /// Takes the keys of a tile in; turns its scores into exp(s - m'). Returns whether a maximum has
  /// moved under a sum that is not empty, so that what was summed before must be rescaled. `hides`:
  /// some score may be -inf.
  template <bool hides>
  bool update(const PaddedTile<A>& s, Index queries, Index keys) const {
    constexpr Index width = Pack<A>::width;
    bool moved = false;
    Index i = 0;
    for (; i + 4 * width <= padded<A>(queries); i += 4 * width)
      moved = update_packs<4, hides>(s, i, keys) || moved;
    for (; i < queries; i += width) moved = update_packs<1, hides>(s, i, keys) || moved;
    return moved;
  }

  A log_sum_exp(Index i) const {
    return sum[i] == A(0) ? minus_infinity<A> : maximum[i] + std::log(sum[i]);
  }

 private:
  /// Several packs side by side: their exponentials do not wait for one another.
  template <std::size_t packs, bool hides>
  bool update_packs(const PaddedTile<A>& s, Index i, Index keys) const {
    constexpr Index width = Pack<A>::width;
    const auto at = [&](A* row, std::size_t p) { return row + i + static_cast<Index>(p) * width; };
    Pack<A> m[packs], total[packs];
    for (std::size_t p = 0; p < packs; ++p) m[p] = Pack<A>::load(at(maximum, p));
    for (Index j = 0; j < keys; ++j)
      for (std::size_t p = 0; p < packs; ++p)
        m[p] = larger(m[p], Pack<A>::load(at(s.column(j), p)));
    if constexpr (!hides) {  // every score of a row so far may be -inf by itself
      for (std::size_t p = 0; p < packs; ++p)
        if (any(m[p] <= Pack<A>(std::numeric_limits<A>::lowest())))
          return update_packs<packs, true>(s, i, keys);
    }
    bool moved = false;
    for (std::size_t p = 0; p < packs; ++p) {
      const Pack<A> before = Pack<A>::load(at(maximum, p));
      const Pack<A> scale = exp_of_difference<false>(before, m[p]);
      const Pack<A> so_far = Pack<A>::load(at(sum, p));
      total[p] = so_far * scale;
      moved = moved || any((before < m[p]) & (Pack<A>(0) < so_far));
      m[p].store(at(maximum, p));
      scale.store(at(rescale, p));
    }
    for (Index j = 0; j < keys; ++j)
      for (std::size_t p = 0; p < packs; ++p) {
        const Pack<A> e = exp_of_difference<hides>(Pack<A>::load(at(s.column(j), p)), m[p]);
        total[p] += e;
        e.store(at(s.column(j), p));
      }
    for (std::size_t p = 0; p < packs; ++p) total[p].store(at(sum, p));
    return moved;
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
    const PackMask<A> moves = enough < abs(Normalizer::total(first, second) - Pack<A>(1));
    tau = select(moves, min(tau + Normalizer::newton_step(count, first, second), most), tau);
    if (!any(moves)) break;
  }
  m.store(shift + i);
  const Pack<A> nan(std::numeric_limits<A>::quiet_NaN());
  select(Pack<A>(0) < broken, nan, tau).store(threshold + i);
}

}  // namespace engine
ATTN_END_NAMESPACE
