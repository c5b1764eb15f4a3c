// SPDX-License-Identifier: Apache-2.0
// Tile and panel sizes, and operands: tokens of any layout and storage type, read and written.
//
// Columns of a tile are features or keys, and queries lie along its columns' memory: packs hold
// neighbouring queries, so a row's maximum and sum are vertical operations. Next: packing.hpp.
#pragma once

#include <algorithm>

#include <attn/concepts.hpp>
#include <attn/config.hpp>
#include <attn/engine/convert.hpp>
#include <attn/engine/packet.hpp>
#include <attn/tensor_view.hpp>
#include <attn/workspace.hpp>

ATTN_BEGIN_NAMESPACE
namespace engine {

template <class A>
using TileMap = Eigen::Map<MatrixX<A>, Eigen::Unaligned, Eigen::OuterStride<>>;
template <class A>
using ConstTileMap = Eigen::Map<const MatrixX<A>, Eigen::Unaligned, Eigen::OuterStride<>>;

/// Packs of queries in a panel, and rows of the other operand that a micro-kernel broadcasts: what
/// fits the registers of the machine (see kernel.hpp).
inline constexpr Index registers = EIGEN_ARCH_DEFAULT_NUMBER_OF_REGISTERS;
#if defined(EIGEN_VECTORIZE_FMA) || defined(EIGEN_VECTORIZE_AVX512) || defined(EIGEN_VECTORIZE_NEON)
inline constexpr Index panel_packs = 3;
#else
inline constexpr Index panel_packs = 2;
#endif
inline constexpr Index key_group = registers >= 32 ? 8 : 4;

/// Queries in a panel.
template <class A>
inline constexpr Index panel_width = panel_packs* Pack<A>::width;

/// How many queries and keys are worked on at once.
struct TileSizes {
  Index queries;  ///< of a block, in whole panels
  Index keys;
};

/// Bytes that the queries of a block may take, and its outputs as well, so that keys and values are
/// packed once for as many queries as can be: 3/16 of the second-level cache each, within limits
/// between which it was measured to pay (bench/DEAD_ENDS.md).
inline Index block_bytes() {
  constexpr Index least = 192 * 1024, most = 384 * 1024;
  return std::clamp<Index>(Index(Eigen::l2CacheSize()) / 16 * 3, least, most);
}

/// The scores of a panel (48 queries by 96 keys of float take 18 KiB) and its queries (12 KiB for
/// d = 64) stay in a first-level cache of 32 KiB. Under masks smaller tiles leave out more.
template <class A>
TileSizes tile_sizes(Index d, Index d_v, bool has_masks = false) {
  constexpr Index most_panels = 32;
  const Index widest = std::max<Index>({d, d_v, 1});
  const Index panels = block_bytes() / static_cast<Index>(sizeof(A)) / widest / panel_width<A>;
  return {std::clamp<Index>(panels, 1, most_panels) * panel_width<A>, has_masks ? 48 : 96};
}

/// Up to so many panels of a block use keys and values where they lie: packing a number costs as
/// much as what five panels lose by broadcasting it from there.
inline constexpr Index direct_panels = 4;

/// A backward pass keeps five matrices of a block where a forward pass has two.
inline constexpr Index backward_panels = 6;
template <class A>
constexpr TileSizes limited(TileSizes tiles, Index panels) {
  return {std::min(tiles.queries, panels * panel_width<A>), tiles.keys};
}

/// Small calls are as fast as their divisions, most of which are by one.
constexpr Index quotient(Index a, Index b) { return b == 1 ? a : a / b; }

/// Whole groups of the micro-kernel that hold n rows.
constexpr Index grouped(Index n) { return (n + key_group - 1) / key_group * key_group; }

/// Neighbouring queries of a block that the kernels take at once.
struct Panel {
  Index first;  ///< within the block
  Index count;
  Index packs;
};

/// The rows that a panel takes in memory: whole packs.
template <class A>
constexpr Index panel_rows(const Panel& panel) {
  return panel.packs * Pack<A>::width;
}

/// A block in panels of equal size, as nearly as packs allow: 64 queries make 2 + 2 packs, since 3
/// + 1 would leave the second panel's loads and latencies bare.
template <class A>
class Panels {
 public:
  explicit Panels(Index queries)
      : queries_(queries),
        packs_(padded<A>(queries) / Pack<A>::width),
        count_((packs_ + panel_packs - 1) / panel_packs) {}

  Index count() const { return count_; }
  /// Of the largest panel, in memory.
  Index most_rows() const {
    return count_ <= 1 ? packs_ * Pack<A>::width : (packs_ + count_ - 1) / count_ * Pack<A>::width;
  }
  Panel operator[](Index p) const {
    if (count_ == 1) return {0, queries_, packs_};
    const Index first = p * packs_ / count_, packs = (p + 1) * packs_ / count_ - first;
    const Index query = first * Pack<A>::width;
    return {query, std::min(packs * Pack<A>::width, queries_ - query), packs};
  }

 private:
  Index queries_;
  Index packs_;
  Index count_;
};

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

  /// Whether a matrix with contiguous rows, or columns of `count` tokens, describes it.
  bool has_rows() const { return feature_stride == 1 && token_stride >= features; }
  bool has_columns(Index count) const { return token_stride == 1 && feature_stride >= count; }

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

/// The tokens of one batch and head.
template <class T>
Slice<T> tokens_of(const TensorView<T>& view, Index b, Index h) {
  return {view, b, h};
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

  A operator()(Index row, Index col) const {
    return row_major ? data[row * stride + col] : data[col * stride + row];
  }

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

  Operand transposed() const { return {data, cols, rows, stride, !row_major}; }
  Operand middle_rows(Index first, Index count) const {
    return {data + first * (row_major ? stride : 1), count, cols, stride, row_major};
  }

  bool all_finite() const {
    return row_major ? engine::all_finite<A>(data, rows, cols, stride)
                     : engine::all_finite<A>(data, cols, rows, stride);
  }
};

/// Whether rows or columns of `count` tokens are contiguous numbers of type A.
template <class A, class T>
bool lies_in_place(const Slice<const T>& tokens, Index count) {
  return std::is_same_v<A, T> && (tokens.has_rows() || tokens.has_columns(count));
}

/// Tokens first .. first+count-1, in place where their layout and type allow it, else copied into
/// `buffer` (count x features numbers) and converted.
template <class A, class T>
Operand<A> load_operand(const Slice<const T>& from, Index first, Index count, A* buffer) {
  const T* data = from.data + first * from.token_stride;
  const Index features = from.features;
  if constexpr (std::is_same_v<A, T>) {
    if (from.has_rows()) return {data, count, features, from.token_stride, true};
    if (from.has_columns(count)) return {data, count, features, from.feature_stride, false};
  }
  if (from.feature_stride == 1) {
    for (Index i = 0; i < count; ++i)
      convert_run(data + i * from.token_stride, features, buffer + i * features);
    return {buffer, count, features, features, true};
  }
  for (Index f = 0; f < features; ++f) {
    const T* column = data + f * from.feature_stride;
    if (from.token_stride == 1)
      convert_run(column, count, buffer + f * count);
    else
      for (Index i = 0; i < count; ++i)
        buffer[f * count + i] = static_cast<A>(column[i * from.token_stride]);
  }
  return {buffer, count, features, count, false};
}

/// A matrix of scratch by columns, each padded to whole packs. What the padding holds is up to who
/// writes it.
template <class A>
struct PaddedTile {
  A* data = nullptr;
  Index stride = 0;

  PaddedTile() = default;
  PaddedTile(A* first, Index column_stride) : data(first), stride(column_stride) {}
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
