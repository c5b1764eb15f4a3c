// SPDX-License-Identifier: Apache-2.0
// Products of small matrices by rows: C = B X and C += B X, whole or for causal triangles.
//
// Columns of X and C lie along the lanes, in whole packs; the numbers of B are broadcast from where
// they lie, by multiply_direct of kernel.hpp. X should fit the first or second level of cache:
// 64 x 64 floats take 16 KiB. Next: linear_chunk.hpp.
#pragma once

#include <algorithm>

#include <attn/config.hpp>
#include <attn/engine/kernel.hpp>
#include <attn/engine/packet.hpp>
#include <attn/engine/packing.hpp>
#include <attn/engine/panel.hpp>

ATTN_BEGIN_NAMESPACE
namespace engine {

/// Which part of a product is wanted. Rows come in `group`s that stand at one token: row r of B
/// stands at token r / group.
struct Triangle {
  bool is_whole = true;
  Index group = 1;

  /// How many columns of B count for the rows first .. first + key_group - 1: all, or those up to
  /// the token of the last row.
  Index depth(Index first, Index cols) const {
    return is_whole ? cols : std::min(cols, (first + key_group - 1) / group + 1);
  }
};

/// A strip of columns of C, rows from `first` on. Rows are written in whole groups, so there must
/// be memory behind the last one.
template <Index packs, bool adds, class A>
ATTN_NOINLINE void product_strip(const Operand<A>& b, const Rows<const A>& x, const Rows<A>& c,
                                 Index first, Triangle triangle) {
  for (Index i = first; i < b.rows; i += key_group) {
    Operand<A> part = b;
    part.cols = triangle.depth(i, b.cols);
    Pack<A> sum[key_group][packs];
    if constexpr (adds)
      load<false>(sum, c.row(i), c.stride, static_cast<const A*>(nullptr));
    else
      set_zero(sum);
    multiply_direct(sum, x.data, x.stride, part, i);
    store(sum, c.row(i), c.stride);
  }
}

/// f(packs, column) for strips of equal size, as nearly as packs allow.
template <class A, class F>
ATTN_INLINE void for_each_strip(Index columns, F&& f) {
  const Index all = padded<A>(columns) / Pack<A>::width;
  const Index strips = (all + panel_packs - 1) / panel_packs;
  for (Index s = 0; s < strips; ++s) {
    const Index first = s * all / strips, packs = (s + 1) * all / strips - first;
    with_packs(packs, [&](auto constant) { f(constant, first * Pack<A>::width); });
  }
}

/// C (+)= B X. Of a triangle only columns of B up to a row's token count.
template <bool adds, class A>
void multiply_rows(const Operand<A>& b, const Rows<const A>& x, Index columns, const Rows<A>& c,
                   Triangle triangle = {}) {
  for_each_strip<A>(columns, [&](auto packs, Index column) {
    product_strip<packs, adds, A>(b, {x.data + column, x.stride}, {c.data + column, c.stride}, 0,
                                  triangle);
  });
}

/// C = B X where C is a lower triangle: row r up to the column r / group, zero from there to the
/// end of the group of rows that are worked on at once. What lies above is not touched.
template <class A>
void multiply_lower(const Operand<A>& b, const Rows<const A>& x, Index columns, const Rows<A>& c,
                    Index group) {
  for_each_strip<A>(columns, [&](auto packs, Index column) {
    product_strip<packs, false, A>(b, {x.data + column, x.stride}, {c.data + column, c.stride},
                                   column * group / key_group * key_group, Triangle{});
  });
  const Triangle triangle{.is_whole = false, .group = group};
  for (Index r = 0; r < b.rows; ++r) {
    const Index end = triangle.depth(r / key_group * key_group, columns);
    std::fill(c.row(r) + r / group + 1, c.row(r) + std::max(end, r / group + 1), A(0));
  }
}

/// Solves (I - N) W = W0 in place for a strictly lower triangle N: forward substitution, a group of
/// rows by products with all rows above it, then the rows of the group one after the other.
template <class A>
void solve_unit_lower(const Rows<const A>& n, Index rows, Index columns, const Rows<A>& w) {
  using P = Pack<A>;
  for (Index i = 0; i < rows; i += key_group) {
    if (i > 0)
      multiply_rows<true, A>(Operand<A>(n.row(i), std::min(key_group, rows - i), i, n.stride, true),
                             {w.data, w.stride}, columns, {w.row(i), w.stride});
    for (Index r = i + 1; r < std::min(i + key_group, rows); ++r)
      for (Index c = 0; c < columns; c += P::width) {
        P sum = P::load(w.row(r) + c);
        for (Index s = i; s < r; ++s)
          sum = multiply_add(P(n.row(r)[s]), P::load(w.row(s) + c), sum);
        sum.store(w.row(r) + c);
      }
  }
}

}  // namespace engine
ATTN_END_NAMESPACE
