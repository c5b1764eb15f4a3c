// SPDX-License-Identifier: Apache-2.0
// Packing: operands rearranged so that the micro-kernels of kernel.hpp read them from end to end.
//
//     pack(M, g)   [row / g][column][g]   g neighbouring rows of a column side by side
//
// With g a panel of queries this lays queries along the lanes; with g = a few keys it lays out what
// the kernel broadcasts. Each number is read and written once: 1 / (2 n_q) of a tile's flops.
// Next: kernel.hpp.
#pragma once

#include <algorithm>
#include <type_traits>

#include <attn/config.hpp>
#include <attn/engine/convert.hpp>
#include <attn/engine/packet.hpp>
#include <attn/engine/panel.hpp>

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wignored-attributes"  // attributes of __m512 as template argument
#endif

ATTN_BEGIN_NAMESPACE
namespace engine {

/// A matrix by its strides: rows of contiguous numbers.
template <class A>
struct Rows {
  A* data;
  Index stride;

  A* row(Index r) const { return data + r * stride; }
};

/// to(c, r) = factor from(r, c) for a square block, which registers transpose.
template <class Raw, class A>
ATTN_INLINE void transpose_block(Rows<const A> from, Rows<A> to, const Raw& factor) {
  using namespace Eigen::internal;
  constexpr Index size = unpacket_traits<Raw>::size;
  PacketBlock<Raw, size> block;
  ATTN_UNROLL
  for (Index r = 0; r < size; ++r)
    block.packet[r] = pmul(factor, ploadu<Raw>(from.data + r * from.stride));
  ptranspose(block);
  ATTN_UNROLL
  for (Index r = 0; r < size; ++r) pstoreu(to.data + r * to.stride, block.packet[r]);
}

/// to(c, r) = factor from(r, c) in blocks of one size, then the rest in smaller ones.
template <class Raw, class A>
ATTN_NOINLINE void transpose_by_blocks(Rows<const A> from, Rows<A> to, Index rows, Index cols,
                                       A factor) {
  using namespace Eigen::internal;
  constexpr Index size = unpacket_traits<Raw>::size;
  using Half = typename unpacket_traits<Raw>::half;
  constexpr Index half = unpacket_traits<Half>::size;
  using Smaller = std::conditional_t < half<size, Half, A>;
  if constexpr (size == 1) {
    for (Index r = 0; r < rows; ++r)
      for (Index c = 0; c < cols; ++c)
        to.data[c * to.stride + r] = factor * from.data[r * from.stride + c];
  } else {
    const Index whole_rows = rows / size * size, whole_cols = cols / size * size;
    const Raw scale = pset1<Raw>(factor);
    for (Index r = 0; r < whole_rows; r += size)
      for (Index c = 0; c < whole_cols; c += size)
        transpose_block<Raw, A>({from.row(r) + c, from.stride}, {to.row(c) + r, to.stride}, scale);
    if (whole_cols < cols)
      transpose_by_blocks<Smaller, A>({from.data + whole_cols, from.stride},
                                      {to.row(whole_cols), to.stride}, whole_rows,
                                      cols - whole_cols, factor);
    if (whole_rows < rows)
      transpose_by_blocks<Smaller, A>({from.row(whole_rows), from.stride},
                                      {to.data + whole_rows, to.stride}, rows - whole_rows, cols,
                                      factor);
  }
}

/// to(c, r) = factor from(r, c).
template <class A>
void copy_transposed(Rows<const A> from, Rows<A> to, Index rows, Index cols, A factor) {
  transpose_by_blocks<typename Pack<A>::Raw>(from, to, rows, cols, factor);
}

/// Copies strips of columns that lie side by side, each as wide as a register, to places `next`
/// numbers apart: all in one pass, since their rows share cache lines and pages.
template <Index strips, class Raw, class A>
ATTN_INLINE void copy_strips(Rows<const A> from, Rows<A> to, Index next, Index rows, A factor) {
  using namespace Eigen::internal;
  constexpr Index size = unpacket_traits<Raw>::size;
  const Raw scale = pset1<Raw>(factor);
  for (Index r = 0; r < rows; ++r) {
    ATTN_UNROLL
    for (Index s = 0; s < strips; ++s)
      pstoreu(to.row(r) + s * next, pmul(scale, ploadu<Raw>(from.row(r) + s * size)));
  }
}

/// to(r, c) = factor from(r, c).
template <class A>
ATTN_NOINLINE void copy_rows(Rows<const A> from, Rows<A> to, Index rows, Index cols, A factor) {
  using Full = typename Pack<A>::Raw;
  using Half = typename Eigen::internal::unpacket_traits<Full>::half;
  constexpr Index full = Pack<A>::width, half = Eigen::internal::unpacket_traits<Half>::size;
  Index c = 0;
  const auto copy = [&]<Index strips, class Raw>(std::integral_constant<Index, strips>,
                                                 std::type_identity<Raw>, Index size) {
    for (; c + strips * size <= cols; c += strips * size)
      copy_strips<strips, Raw, A>({from.data + c, from.stride}, {to.data + c, to.stride}, size,
                                  rows, factor);
  };
  constexpr std::integral_constant<Index, 1> one;
  copy(std::integral_constant<Index, panel_packs>(), std::type_identity<Full>(), full);
  copy(one, std::type_identity<Full>(), full);
  if constexpr (half > 1 && half < full) copy(one, std::type_identity<Half>(), half);
  copy(one, std::type_identity<A>(), 1);
}

/// What holds a group of keys: a register or half of one.
template <class A>
using GroupRaw =
    std::conditional_t<(Pack<A>::width > key_group),
                       typename Eigen::internal::unpacket_traits<typename Pack<A>::Raw>::half,
                       typename Pack<A>::Raw>;

/// Packs groups of keys of a matrix by columns, four at a time, as long as there are four:
/// returns how many keys. None where no register is as wide as a group, nor where the processor
/// keeps the addresses of all pages at hand from one group to the next, say of 64.
template <class A>
ATTN_NOINLINE Index pack_groups(const Operand<A>& from, A* to, A factor) {
  constexpr Index rows = 4 * key_group;
  constexpr Index pages = 64 * 4096 / static_cast<Index>(sizeof(A));
  Index first = 0;
  if constexpr (Eigen::internal::unpacket_traits<GroupRaw<A>>::size == key_group)
    for (; from.stride * from.cols >= pages && first + rows <= from.rows; first += rows)
      copy_strips<4, GroupRaw<A>, A>({from.data + first, from.stride},
                                     {to + first * from.cols, key_group}, key_group * from.cols,
                                     from.cols, factor);
  return first;
}

/// Fills `to` with factor * from as [row / group][column][group]; rows past the last are zero.
template <class A>
void pack(const Operand<A>& from, Index group, A* to, A factor = A(1)) {
  Index first = !from.row_major && group == key_group ? pack_groups(from, to, factor) : 0;
  for (; first < from.rows; first += group) {
    const Index rows = std::min(group, from.rows - first);
    A* panel = to + first * from.cols;
    if (rows < group) std::fill_n(panel, group * from.cols, A(0));
    if (from.row_major)
      copy_transposed<A>({from.data + first * from.stride, from.stride}, {panel, group}, rows,
                         from.cols, factor);
    else
      copy_rows<A>({from.data + first, from.stride}, {panel, group}, from.cols, rows, factor);
  }
}

/// Reads tokens first, first + 1, ... as rows, times a factor. `buffer` holds as many numbers as
/// are read.
template <class A, class T>
ATTN_NOINLINE void read_tokens(const Slice<const T>& from, Index first, Index count, A* buffer,
                               const Rows<A>& to, A factor = A(1)) {
  const Operand<A> m = load_operand<A>(from, first, count, buffer);
  if (m.row_major)
    copy_rows<A>({m.data, m.stride}, to, m.rows, m.cols, factor);
  else
    copy_transposed<A>({m.data, m.stride}, to, m.cols, m.rows, factor);
}

/// Writes a matrix to tokens first, first + 1, ... in their storage type; nothing where the view is
/// one of nothing. `buffer` holds as many numbers as the matrix.
template <class A, class T>
ATTN_NOINLINE void write_tokens(Operand<A> from, const Slice<T>& to, Index first, A* buffer) {
  if (!to.data) return;
  T* data = to.data + first * to.token_stride;
  if constexpr (std::is_same_v<A, T>) {
    const auto copy = [&](const Operand<A>& m, Index stride) {
      if (m.row_major)
        copy_rows<A>({m.data, m.stride}, {data, stride}, m.rows, m.cols, A(1));
      else
        copy_transposed<A>({m.data, m.stride}, {data, stride}, m.cols, m.rows, A(1));
    };
    if (to.feature_stride == 1) return copy(from, to.token_stride);
    if (to.token_stride == 1) return copy(from.transposed(), to.feature_stride);
  }
  if (!from.row_major) {
    copy_transposed<A>({from.data, from.stride}, {buffer, from.cols}, from.cols, from.rows, A(1));
    from = {buffer, from.rows, from.cols, from.cols, true};
  }
  for (Index i = 0; i < from.rows; ++i) {
    const A* row = from.data + i * from.stride;
    T* token = data + i * to.token_stride;
    if (to.feature_stride == 1)
      convert_run(row, from.cols, token);
    else
      for (Index f = 0; f < from.cols; ++f) token[f * to.feature_stride] = static_cast<T>(row[f]);
  }
}

}  // namespace engine
ATTN_END_NAMESPACE

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic pop
#endif
