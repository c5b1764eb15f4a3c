// SPDX-License-Identifier: Apache-2.0
// The micro-kernels: every product of attention, forward and backward, in three functions.
//
//     score_panel             S += Q K^T        C[key][query]   = sum_f  Q[f][query]  K[f][key]
//     add_panel               O += P V          C[column][query] += sum_j P[j][query]  V[j][column]
//     add_panel_transposed    dV += P^T dO      C[key][column]  += sum_i dO[i][column] P[key][i]
//
// One loop serves all: `packs` packs of A times `group` broadcast numbers of B, C in registers.
// With 32 registers 3 x 8 packs of C leave room for A and B: 24 multiply-adds to 3 loads and 8
// broadcasts, so the two multiply-add units of a core, not its loads, are the limit. With 16
// registers 3 x 4; without fused multiply-add 2 x 4, since products need a register as well.
//
// Queries lie along the lanes (add_panel_transposed: columns), so nothing is ever summed across
// lanes. The kernels stay out of line: inlined into a walk, g++ 12 spills the accumulators.
#pragma once

#include <algorithm>
#include <type_traits>

#include <attn/config.hpp>
#include <attn/engine/packet.hpp>
#include <attn/engine/packing.hpp>
#include <attn/engine/panel.hpp>

ATTN_BEGIN_NAMESPACE
namespace engine {

/// c += a b: `depth` steps of packs * group multiply-adds. Between steps a moves by a_step and b by
/// b_step; b_next lies between the numbers that one step broadcasts. Where a step takes a whole
/// cache line of b (double), a tile of b outgrows the first level: its lines are asked for ahead.
template <Index packs, Index group, Index b_next, class A>
ATTN_INLINE void multiply(Pack<A> (&c)[group][packs], const A* a, Index a_step, const A* b,
                          Index b_step, Index depth) {
  for (Index k = 0; k < depth; ++k, a += a_step, b += b_step) {
    if constexpr (b_next == 1 && group * sizeof(A) >= 64) prefetch(b + 16 * b_step);
    Pack<A> x[packs];
    ATTN_UNROLL
    for (Index p = 0; p < packs; ++p) x[p] = Pack<A>::load(a + p * Pack<A>::width);
    ATTN_UNROLL
    for (Index g = 0; g < group; ++g) {
      const Pack<A> y = Pack<A>::broadcast(b + g * b_next);
      ATTN_UNROLL
      for (Index p = 0; p < packs; ++p) c[g][p] = multiply_add(x[p], y, c[g][p]);
    }
  }
}

template <class A, Index packs>
ATTN_INLINE void set_zero(Pack<A> (&c)[key_group][packs]) {
  ATTN_UNROLL
  for (Index g = 0; g < key_group; ++g) {
    ATTN_UNROLL
    for (Index p = 0; p < packs; ++p) c[g][p] = Pack<A>(0);
  }
}

template <Index packs, class A>
ATTN_INLINE void store(const Pack<A> (&c)[key_group][packs], A* to, Index stride) {
  ATTN_UNROLL
  for (Index g = 0; g < key_group; ++g) {
    ATTN_UNROLL
    for (Index p = 0; p < packs; ++p) c[g][p].store(to + g * stride + p * Pack<A>::width);
  }
}

/// c = what stands at `from`, times a factor of its own for each lane.
template <bool rescales, Index packs, class A>
ATTN_INLINE void load(Pack<A> (&c)[key_group][packs], const A* from, Index stride,
                      const A* factors) {
  ATTN_UNROLL
  for (Index p = 0; p < packs; ++p) {
    [[maybe_unused]] Pack<A> factor;
    if constexpr (rescales) factor = Pack<A>::load(factors + p * Pack<A>::width);
    ATTN_UNROLL
    for (Index g = 0; g < key_group; ++g) {
      c[g][p] = Pack<A>::load(from + g * stride + p * Pack<A>::width);
      if constexpr (rescales) c[g][p] *= factor;
    }
  }
}

/// The maximum grows by what stands in c, by pairs: a chain of eight would have to be waited for.
template <Index packs, class A>
ATTN_INLINE void find_maximum(const Pack<A> (&c)[key_group][packs], A* maximum) {
  ATTN_UNROLL
  for (Index p = 0; p < packs; ++p) {
    Pack<A> m[key_group];
    ATTN_UNROLL
    for (Index g = 0; g < key_group; ++g) m[g] = c[g][p];
    ATTN_UNROLL
    for (Index half = key_group / 2; half > 0; half /= 2) {
      ATTN_UNROLL
      for (Index g = 0; g < half; ++g) m[g] = larger(m[g], m[g + half]);
    }
    A* to = maximum + p * Pack<A>::width;
    larger(Pack<A>::load(to), m[0]).store(to);
  }
}

/// The same of `keys` rows of a tile of scores.
template <Index packs, class A>
ATTN_INLINE void find_maximum_of(const A* s, Index keys, A* maximum) {
  constexpr Index width = Pack<A>::width;
  Pack<A> m[packs];
  ATTN_UNROLL
  for (Index p = 0; p < packs; ++p) m[p] = Pack<A>::load(maximum + p * width);
  for (Index g = 0; g < keys; g += 2) {
    const A* row = s + g * panel_width<A>;
    const A* next = s + std::min(g + 1, keys - 1) * panel_width<A>;
    ATTN_UNROLL
    for (Index p = 0; p < packs; ++p)
      m[p] = larger(m[p], larger(Pack<A>::load(row + p * width), Pack<A>::load(next + p * width)));
  }
  ATTN_UNROLL
  for (Index p = 0; p < packs; ++p) m[p].store(maximum + p * width);
}

/// f(constant) with the number of packs of a panel as a constant.
template <class F>
ATTN_INLINE void with_packs(Index packs, F&& f) {
  if (packs == 1) return f(std::integral_constant<Index, 1>());
  if (panel_packs == 2 || packs == 2) return f(std::integral_constant<Index, 2>());
  if constexpr (panel_packs > 2) f(std::integral_constant<Index, 3>());
}

/// How scores are finished before they are stored: not at all.
struct AsTheyAre {
  template <Index packs, class A>
  ATTN_INLINE void in_registers(Pack<A> (&)[key_group][packs], Index) const {}
  template <Index packs, class A>
  void in_memory(A*, Index, Index) const {}
};

/// The maximum of each row grows by them.
template <class A>
struct FindMaximum {
  A* maximum;

  template <Index packs>
  ATTN_INLINE void in_registers(Pack<A> (&c)[key_group][packs], Index) const {
    find_maximum(c, maximum);
  }
  template <Index packs>
  void in_memory(A* s, Index, Index keys) const {
    find_maximum_of<packs>(s, keys, maximum);
  }
};

/// f(score, query, key) takes the place of each pack of them, query and key counted within the
/// tile, and the maximum of each row grows by it.
template <class A, class F>
struct ModifyScores {
  F f;
  A* maximum;

  template <Index packs>
  ATTN_INLINE void in_registers(Pack<A> (&c)[key_group][packs], Index key) const {
    ATTN_UNROLL
    for (Index g = 0; g < key_group; ++g) {
      ATTN_UNROLL
      for (Index p = 0; p < packs; ++p) c[g][p] = f(c[g][p], p * Pack<A>::width, key + g);
    }
    find_maximum(c, maximum);
  }
  template <Index packs>
  void in_memory(A* s, Index key, Index keys) const {
    for (Index g = 0; g < keys; ++g)
      for (Index p = 0; p < packs; ++p) {
        A* score = s + g * panel_width<A> + p * Pack<A>::width;
        f(Pack<A>::load(score), p * Pack<A>::width, key + g).store(score);
      }
    find_maximum_of<packs>(s, keys, maximum);
  }
};

/// Finishes and stores a group of scores at s, those of keys `key` and up. A last group of fewer
/// keys is finished in memory: what stands behind them belongs to no key.
template <Index packs, class Finish, class A>
ATTN_INLINE void store_scores(Pack<A> (&c)[key_group][packs], A* s, Index key, Index keys,
                              const Finish& finish) {
  if (keys >= key_group) finish.in_registers(c, key);
  store(c, s, panel_width<A>);
  if (keys < key_group) finish.template in_memory<packs>(s, key, keys);
}

/// S = Q K^T for one panel of queries and one tile of keys, both packed.
template <Index packs, class Finish, class A>
ATTN_NOINLINE void score_packs(const A* q, const A* k, Index width, Index keys, A* s,
                               const Finish& finish) {
  using P = Pack<A>;
  for (Index j = 0; j < keys; j += key_group, k += width * key_group) {
    P c[key_group][packs];
    set_zero(c);
    multiply<packs, key_group, 1>(c, q, packs * P::width, k, key_group, width);
    store_scores(c, s + j * panel_width<A>, j, keys - j, finish);
  }
}

template <class A, class Finish>
void score_panel(Index packs, const A* q, const A* k, Index width, Index keys, A* s,
                 const Finish& finish) {
  with_packs(packs, [&](auto constant) { score_packs<constant>(q, k, width, keys, s, finish); });
}

/// C = C rescale + P V with P a tile of a panel and V packed by columns; C [column][query], columns
/// padded to whole groups.
template <Index packs, bool rescales, class A>
ATTN_NOINLINE void add_packs(const A* p, const A* v, Index keys, Index cols, A* c,
                             const A* rescale) {
  constexpr Index stride = packs * Pack<A>::width;
  for (Index first = 0; first < cols; first += key_group, v += keys * key_group) {
    Pack<A> sum[key_group][packs];
    load<rescales>(sum, c + first * stride, stride, rescale);
    multiply<packs, key_group, 1>(sum, p, panel_width<A>, v, key_group, keys);
    store(sum, c + first * stride, stride);
  }
}

template <bool rescales, class A>
void add_panel(Index packs, const A* p, const A* v, Index keys, Index cols, A* c,
               const A* rescale) {
  with_packs(packs,
             [&](auto constant) { add_packs<constant, rescales>(p, v, keys, cols, c, rescale); });
}

/// C += P^T X for `packs` packs of columns: C[key][column] += sum_i X[i][column] P[key][i].
template <Index packs, class A>
ATTN_NOINLINE void add_packs_transposed(const A* x, Index x_stride, const A* p, Index queries,
                                        Index keys, A* c, Index c_stride) {
  using P = Pack<A>;
  for (Index j = 0; j < keys;
       j += key_group, p += key_group * panel_width<A>, c += key_group * c_stride) {
    P sum[key_group][packs];
    set_zero(sum);
    multiply<packs, key_group, panel_width<A>>(sum, x, x_stride, p, 1, queries);
    ATTN_UNROLL
    for (Index g = 0; g < key_group; ++g) {
      if (g < keys - j) {
        ATTN_UNROLL
        for (Index r = 0; r < packs; ++r) {
          A* to = c + g * c_stride + r * P::width;
          (P::load(to) + sum[g][r]).store(to);
        }
      }
    }
  }
}

/// C += P^T X: C rows of c_stride numbers, one a key; X [query][column], columns padded to packs.
template <class A>
void add_panel_transposed(const A* x, Index x_stride, const A* p, Index queries, Index keys, A* c,
                          Index c_stride) {
  const Index all = x_stride / Pack<A>::width, parts = (all + panel_packs - 1) / panel_packs;
  for (Index part = 0; part < parts; ++part) {
    const Index first = part * all / parts, packs = (part + 1) * all / parts - first;
    with_packs(packs, [&](auto constant) {
      add_packs_transposed<constant>(x + first * Pack<A>::width, x_stride, p, queries, keys,
                                     c + first * Pack<A>::width, c_stride);
    });
  }
}

/// The same two products with K and V where they lie. Few panels use each number of them so seldom
/// that packing costs more than it saves.
///
/// c += a b for the rows first .. of B, the last of which stands in for those behind it.
template <Index packs, class A>
ATTN_INLINE void multiply_direct(Pack<A> (&c)[key_group][packs], const A* a, Index a_step,
                                 const Operand<A>& b, Index first) {
  const Index row = b.row_major ? b.stride : 1, col = b.row_major ? 1 : b.stride;
  const A* from[key_group];
  ATTN_UNROLL
  for (Index g = 0; g < key_group; ++g) from[g] = b.data + std::min(first + g, b.rows - 1) * row;
  for (Index k = 0; k < b.cols; ++k, a += a_step) {
    Pack<A> x[packs];
    ATTN_UNROLL
    for (Index p = 0; p < packs; ++p) x[p] = Pack<A>::load(a + p * Pack<A>::width);
    ATTN_UNROLL
    for (Index g = 0; g < key_group; ++g) {
      const Pack<A> y = Pack<A>::broadcast(from[g] + k * col);
      ATTN_UNROLL
      for (Index p = 0; p < packs; ++p) c[g][p] = multiply_add(x[p], y, c[g][p]);
    }
  }
}

template <Index packs, class Finish, class A>
ATTN_NOINLINE void score_packs_direct(const A* q, const Operand<A>& k, A* s, const Finish& finish) {
  for (Index j = 0; j < k.rows; j += key_group) {
    Pack<A> c[key_group][packs];
    set_zero(c);
    multiply_direct(c, q, packs * Pack<A>::width, k, j);
    store_scores(c, s + j * panel_width<A>, j, k.rows - j, finish);
  }
}

template <class A, class Finish>
void score_panel_direct(Index packs, const A* q, const Operand<A>& k, A* s, const Finish& finish) {
  with_packs(packs, [&](auto constant) { score_packs_direct<constant>(q, k, s, finish); });
}

template <Index packs, bool rescales, class A>
ATTN_NOINLINE void add_packs_direct(const A* p, const Operand<A>& columns, A* c, const A* rescale) {
  constexpr Index stride = packs * Pack<A>::width;
  for (Index first = 0; first < columns.rows; first += key_group) {
    Pack<A> sum[key_group][packs];
    load<rescales>(sum, c + first * stride, stride, rescale);
    multiply_direct(sum, p, panel_width<A>, columns, first);
    store(sum, c + first * stride, stride);
  }
}

template <bool rescales, class A>
void add_panel_direct(Index packs, const A* p, const Operand<A>& v, A* c, const A* rescale) {
  with_packs(packs, [&](auto constant) {
    add_packs_direct<constant, rescales>(p, v.transposed(), c, rescale);
  });
}

/// C += A B for the projections of score functions, outside of the hot loops.
template <class A>
ATTN_NOINLINE void add_product(TileMap<A> c, ConstTileMap<A> a, const Operand<A>& b) {
  b.visit([&](const auto& m) { c.noalias() += a * m; });
}

/// C = A B^T.
template <class A>
ATTN_NOINLINE void product_transposed(TileMap<A> c, ConstTileMap<A> a, const Operand<A>& b) {
  b.visit([&](const auto& m) { c.noalias() = a * m.transpose(); });
}

/// C += A B where B holds NaN or inf that belong to pairs which are not visible: a zero in
/// `visible` (which may be A itself) keeps a row of B out, where 0 * NaN would let it in. Only for
/// tiles in which that happens, so plain loops will do.
template <class A>
ATTN_NOINLINE void add_product_of_visible(TileMap<A> c, ConstTileMap<A> a, ConstTileMap<A> visible,
                                          const Operand<A>& b) {
  for (Index j = 0; j < a.cols(); ++j)
    for (Index i = 0; i < a.rows(); ++i)
      if (visible(i, j) != A(0))
        for (Index f = 0; f < b.cols; ++f) c(i, f) += a(i, j) * b(j, f);
}

/// C += A^T B likewise; C and B by rows.
template <class A>
ATTN_NOINLINE void add_transposed_product_of_visible(A* c, Index c_stride, ConstTileMap<A> a,
                                                     const A* b, Index b_stride, Index cols) {
  for (Index j = 0; j < a.cols(); ++j)
    for (Index i = 0; i < a.rows(); ++i)
      if (a(i, j) != A(0))
        for (Index f = 0; f < cols; ++f) c[j * c_stride + f] += a(i, j) * b[i * b_stride + f];
}

/// G += X^T D for the gradient of a weight matrix: rows of D that are zero keep X's rows out.
template <class A>
ATTN_NOINLINE void add_weight_gradient(MatrixX<A>& g, ConstTileMap<A> x, ConstTileMap<A> d) {
  if (Operand<A>(x).all_finite()) {
    g.noalias() += x.transpose() * d;
    return;
  }
  for (Index i = 0; i < x.rows(); ++i)
    if (!(d.row(i).array() == A(0)).all()) g += x.row(i).transpose() * d.row(i);
}

}  // namespace engine
ATTN_END_NAMESPACE
