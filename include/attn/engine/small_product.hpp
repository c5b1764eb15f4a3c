// SPDX-License-Identifier: Apache-2.0
// Products of a panel with a matrix that is used where it lies, for heads so small that packing it
// would not pay: C = P B, each row times a factor, from registers to where it belongs.
//
//     P [row of B][panel]    lanes along the rows of C, or along its columns where these, and those
//                            of B, lie side by side
//
// 2 flops for each row of C and number of B.
#pragma once

#include <algorithm>
#include <type_traits>

#include <attn/config.hpp>
#include <attn/engine/convert.hpp>
#include <attn/engine/kernel.hpp>
#include <attn/engine/packing.hpp>
#include <attn/engine/panel.hpp>

ATTN_BEGIN_NAMESPACE
namespace engine {

/// C [column][row] with lanes along the rows, `lanes` of them in the last pack.
template <Index packs, class A>
ATTN_NOINLINE void mix_columns(const A* p, const Operand<A>& columns, const A* factor, Index lanes,
                               const Rows<A>& c) {
  constexpr Index width = Pack<A>::width;
  for (Index first = 0; first < columns.rows; first += key_group) {
    Pack<A> sum[key_group][packs];
    set_zero(sum);
    multiply_direct(sum, p, panel_width<A>, columns, first);
    ATTN_UNROLL
    for (Index r = 0; r < packs; ++r) {
      const Pack<A> f = Pack<A>::load(factor + r * width);
      const Index count = r + 1 < packs ? width : lanes;
      ATTN_UNROLL
      for (Index g = 0; g < key_group; ++g)
        if (g < columns.rows - first)
          store_first_as<A>(sum[g][r] * f, c.row(first + g) + r * width, count);
    }
  }
}

/// C by rows with lanes along `packs` packs of columns, of which the last has `lanes`.
template <Index packs, class A>
ATTN_NOINLINE void mix_rows(const A* p, Index depth, const Rows<const A>& b, Index lanes,
                            const A* factor, Index rows, const Rows<A>& c) {
  constexpr Index width = Pack<A>::width;
  for (Index i = 0; i < rows; i += key_group) {
    Pack<A> sum[key_group][packs];
    set_zero(sum);
    for (Index j = 0; j < depth; ++j) {
      Pack<A> x[packs];
      ATTN_UNROLL
      for (Index r = 0; r + 1 < packs; ++r) x[r] = Pack<A>::load(b.row(j) + r * width);
      x[packs - 1] = load_first_as<A>(b.row(j) + (packs - 1) * width, lanes);
      ATTN_UNROLL
      for (Index g = 0; g < key_group; ++g) {
        const Pack<A> y = Pack<A>::broadcast(p + j * panel_width<A> + i + g);
        ATTN_UNROLL
        for (Index r = 0; r < packs; ++r) sum[g][r] = multiply_add(x[r], y, sum[g][r]);
      }
    }
    ATTN_UNROLL
    for (Index g = 0; g < key_group; ++g) {
      if (g >= rows - i) continue;
      const Pack<A> f = Pack<A>::broadcast(factor + i + g);
      ATTN_UNROLL
      for (Index r = 0; r + 1 < packs; ++r) (sum[g][r] * f).store(c.row(i + g) + r * width);
      store_first_as<A>(sum[g][packs - 1] * f, c.row(i + g) + (packs - 1) * width, lanes);
    }
  }
}

/// Whether the tokens of every head can be used where they lie.
template <class A, class T>
bool reads_in_place(const TensorView<const T>& view) {
  return lies_in_place<A>(Slice<const T>(view, 0, 0), view.tokens());
}

/// The rows of a panel by columns, times a factor; zeros behind the last.
template <class A>
void pack_panel(const Operand<A>& from, Index rows, A* to, A factor = A(1)) {
  constexpr Index width = Pack<A>::width;
  if (from.row_major) return pack(from, rows, to, factor);
  for (Index f = 0; f < from.cols; ++f)
    for (Index i = 0; i < from.rows; i += width)
      (load_first_as<A>(from.data + f * from.stride + i, from.rows - i) * Pack<A>(factor))
          .store(to + f * rows + i);
}

/// Where the columns of a panel of C go that can't go to their place from registers.
template <class A>
struct ProductScratch {
  A* output;   ///< [column][row]
  A* staging;  ///< as many numbers
};

/// Both by rows.
template <class A>
void write_rows_of_product(const Panel& panel, const A* p, const Operand<A>& b, const A* factor,
                           const Rows<A>& c) {
  constexpr Index width = Pack<A>::width, widest = panel_packs * width;
  for (Index f = 0; f < b.cols; f += widest) {
    const Index columns = std::min(widest, b.cols - f), packs = padded<A>(columns) / width;
    with_packs(packs, [&](auto constant) {
      mix_rows<constant>(p, b.rows, {b.data + f, b.stride}, columns - (packs - 1) * width, factor,
                         panel.count, {c.data + f, c.stride});
    });
  }
}

/// A zero of P keeps out what B holds, be it NaN or inf.
template <class A, class T>
ATTN_NOINLINE void write_product_of_visible(const Panel& panel, const A* p, const Operand<A>& b,
                                            const A* factor, const Slice<T>& to) {
  for (Index i = 0; i < panel.count; ++i)
    for (Index f = 0; f < b.cols; ++f) {
      A sum(0);
      for (Index j = 0; j < b.rows; ++j)
        if (const A x = p[j * panel_width<A> + i]; x != A(0)) sum += x * b(j, f);
      to.data[(panel.first + i) * to.token_stride + f * to.feature_stride] =
          static_cast<T>(sum * factor[i]);
    }
}

/// C to the tokens of a panel. `hides`: zeros of P keep out NaN and inf. P has memory behind its
/// last row, for whole groups of them.
template <class A, class T>
void write_product(const Panel& panel, const A* p, const Operand<A>& b, const A* factor, bool hides,
                   const Slice<T>& to, const ProductScratch<A>& scratch) {
  if (hides && !b.all_finite()) return write_product_of_visible(panel, p, b, factor, to);
  const Index rows = panel_rows<A>(panel);
  Rows<A> c{scratch.output, rows};
  bool in_place = false;
  if constexpr (std::is_same_v<T, A>) {
    T* const data = to.data + panel.first * to.token_stride;
    if (b.row_major && to.feature_stride == 1)
      return write_rows_of_product(panel, p, b, factor, {data, to.token_stride});
    in_place = to.token_stride == 1;
    if (in_place) c = {data, to.feature_stride};
  }
  const Index lanes = in_place ? panel.count - rows + Pack<A>::width : Pack<A>::width;
  with_packs(panel.packs,
             [&](auto packs) { mix_columns<packs>(p, b.transposed(), factor, lanes, c); });
  if (!in_place)
    write_tokens(Operand<A>(c.data, panel.count, b.cols, c.stride, false), to, panel.first,
                 scratch.staging);
}

}  // namespace engine
ATTN_END_NAMESPACE
