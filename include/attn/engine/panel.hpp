// SPDX-License-Identifier: Apache-2.0
// Tile sizes, and the operands of the kernels: tokens of any layout and storage type, made ready.
//
// Columns of a tile are features or keys, and queries lie along its columns' memory: packs hold
// neighbouring queries, so a row's maximum and sum are vertical operations. Next: kernel.hpp.
#pragma once

#include <algorithm>

#include <attn/concepts.hpp>
#include <attn/config.hpp>
#include <attn/engine/packet.hpp>
#include <attn/tensor_view.hpp>
#include <attn/workspace.hpp>

ATTN_BEGIN_NAMESPACE
namespace engine {

template <class A>
using TileMap = Eigen::Map<MatrixX<A>, Eigen::Unaligned, Eigen::OuterStride<>>;
template <class A>
using ConstTileMap = Eigen::Map<const MatrixX<A>, Eigen::Unaligned, Eigen::OuterStride<>>;

/// How many queries and keys are worked on at once.
struct TileSizes {
  Index queries;
  Index keys;
};

/// A query panel (queries x d) stays within half of a 256 KiB second-level cache, which also keeps
/// the packing buffers of Eigen's products below 128 KiB and so on the stack; the score tile
/// (queries x keys) takes 64 KiB in float.
template <class A>
constexpr TileSizes tile_sizes(Index d, Index d_v) {
  constexpr Index panel_bytes = 128 * 1024;
  const Index widest = std::max<Index>({d, d_v, 1});
  const Index fitting = panel_bytes / static_cast<Index>(sizeof(A)) / widest;
  return {std::clamp<Index>(padded<A>(fitting), 2 * Pack<A>::width, 128), 128};
}

/// Tokens by rows of one batch and head: the part of a TensorView that a task reads or writes.
template <class T>
struct Slice {
  T* data;
  Index tokens;
  Index features;
  Index token_stride;
  Index feature_stride;

  Slice(const TensorView<T>& view, Index b, Index h)
      : data(view.pointer(b, h, 0)),
        tokens(view.tokens()),
        features(view.features()),
        token_stride(view.strides[2]),
        feature_stride(view.strides[3]) {}

  /// f(`count` tokens from `first` on), as an Eigen expression that knows which way is contiguous.
  template <class F>
  void visit_rows(Index first, Index count, F&& f) const {
    using U = std::remove_const_t<T>;
    using RowMajor = Eigen::Matrix<U, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
    using Stride = Eigen::Stride<Eigen::Dynamic, Eigen::Dynamic>;
    T* start = data + first * token_stride;
    if (token_stride == 1)
      f(map<MatrixX<U>, Eigen::OuterStride<>>(start, count, Eigen::OuterStride<>(feature_stride)));
    else if (feature_stride == 1)
      f(map<RowMajor, Eigen::OuterStride<>>(start, count, Eigen::OuterStride<>(token_stride)));
    else
      f(map<MatrixX<U>, Stride>(start, count, Stride(feature_stride, token_stride)));
  }

 private:
  template <class Plain, class Stride>
  auto map(T* start, Index count, Stride stride) const {
    using Qualified = std::conditional_t<std::is_const_v<T>, const Plain, Plain>;
    return Eigen::Map<Qualified, Eigen::Unaligned, Stride>(start, count, features, stride);
  }
};

/// Reads tokens into a tile, in the accumulator type.
template <class A, class T>
ATTN_NOINLINE void read_tokens(const Slice<const T>& from, Index first, TileMap<A> to) {
  from.visit_rows(first, to.rows(), [&](const auto& rows) { to = rows.template cast<A>(); });
}

/// Writes a tile to tokens, in their storage type.
template <class A, class T>
ATTN_NOINLINE void write_tokens(ConstTileMap<A> from, const Slice<T>& to, Index first) {
  to.visit_rows(first, from.rows(), [&](auto rows) { rows = from.template cast<T>(); });
}

/// A matrix as a product takes it: rows or columns contiguous.
template <class A>
struct Operand {
  const A* data;
  Index rows;
  Index cols;
  Index stride;  ///< between rows where row_major, else between columns
  bool row_major;

  explicit Operand(const ConstTileMap<A>& m)
      : data(m.data()), rows(m.rows()), cols(m.cols()), stride(m.outerStride()), row_major(false) {}
  Operand(const A* d, Index r, Index c, Index s, bool rm)
      : data(d), rows(r), cols(c), stride(s), row_major(rm) {}

  /// f(map of this), in the storage order that it has.
  template <class F>
  void visit(F&& f) const {
    using RowMajor = Eigen::Matrix<A, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
    if (row_major)
      f(Eigen::Map<const RowMajor, Eigen::Unaligned, Eigen::OuterStride<>>(
          data, rows, cols, Eigen::OuterStride<>(stride)));
    else
      f(ConstTileMap<A>(data, rows, cols, Eigen::OuterStride<>(stride)));
  }

  /// Whether every number is finite: x - x is 0, and else NaN.
  bool all_finite() const {
    bool finite = true;
    visit([&](const auto& m) { finite = (m.array() - m.array()).sum() == A(0); });
    return finite;
  }
};

/// Tokens first .. first+count-1, in place where their layout and type allow it, else copied into
/// `buffer` (count x features numbers) and converted.
template <class A, class T>
Operand<A> load_operand(const Slice<const T>& from, Index first, Index count, A* buffer) {
  if constexpr (std::is_same_v<A, T>) {
    const A* data = from.data + first * from.token_stride;
    if (from.feature_stride == 1 && from.token_stride >= from.features)
      return {data, count, from.features, from.token_stride, true};
    if (from.token_stride == 1 && from.feature_stride >= count)
      return {data, count, from.features, from.feature_stride, false};
  }
  TileMap<A> copy(buffer, count, from.features, Eigen::OuterStride<>(count));
  read_tokens(from, first, copy);
  return Operand<A>(ConstTileMap<A>(buffer, count, from.features, Eigen::OuterStride<>(count)));
}

/// A matrix of scratch: rows padded to whole packs, the padding zero.
template <class A>
struct PaddedTile {
  A* data = nullptr;
  Index stride = 0;

  PaddedTile() = default;
  PaddedTile(Arena& arena, Index rows, Index cols)
      : data(arena.take<A>(padded<A>(rows) * cols)), stride(padded<A>(rows)) {}

  void set_zero(Index cols) { std::fill(data, data + stride * cols, A(0)); }
  TileMap<A> map(Index rows, Index cols) const {
    return TileMap<A>(data, rows, cols, Eigen::OuterStride<>(stride));
  }
  ConstTileMap<A> const_map(Index rows, Index cols) const {
    return ConstTileMap<A>(data, rows, cols, Eigen::OuterStride<>(stride));
  }
  A* column(Index j) const { return data + j * stride; }
};

}  // namespace engine
ATTN_END_NAMESPACE
