// SPDX-License-Identifier: Apache-2.0
// Keys or values as a cache holds them, where strides do not tell: whole numbers with a scale for
// each token and head, or blocks of tokens found through a table.
//
//     row of token j = first + j                                     without a table
//                    = first + table[j / size] size + j mod size     with blocks of `size` tokens
//
// The walks read them as they read any tensor: tiles convert a tile at a time, decoding reads rows
// in place, run by run of blocks that lie behind one another, and multiplies scores and weights by
// the scales instead of the numbers. Source: Kwon et al. 2023 (PagedAttention), section 4.
#pragma once

#include <algorithm>
#include <array>
#include <type_traits>

#include <attn/config.hpp>
#include <attn/engine/cache_rows.hpp>
#include <attn/engine/convert.hpp>
#include <attn/engine/decode_rows.hpp>
#include <attn/engine/panel.hpp>
#include <attn/engine/row_kernel.hpp>
#include <attn/tensor_view.hpp>

ATTN_BEGIN_NAMESPACE
namespace engine {

/// The tokens of one head.
template <class S>
struct CachedHead {
  const S* data;        ///< of the row that positions count from
  const float* scales;  ///< of the same row on, or null
  Index features;
  const Index* blocks;  ///< of the sequence, or null
  Index block_size;

  Index row(Index token) const {
    return blocks ? blocks[token / block_size] * block_size + token % block_size : token;
  }
  const S* at(Index token) const { return data + row(token) * features; }

  /// How many tokens from `first` on, up to `count`, lie behind one another.
  Index run(Index first, Index count) const {
    if (!blocks) return count;
    Index length = block_size - first % block_size;
    for (const Index* b = blocks + first / block_size; length < count && b[1] == b[0] + 1; ++b)
      length += block_size;
    return std::min(length, count);
  }
};

/// Shape {batch, head, token, feature}; rows are counted from the start of the memory.
template <class S>
struct CachedTokens {
  using Scalar = S;

  const S* data = nullptr;
  const float* scales = nullptr;
  std::array<Index, 4> shape{0, 0, 0, 0};
  Index first_row = 0;
  Index batch_rows = 0;  ///< from one batch to the next
  Index head_rows = 0;
  const Index* blocks = nullptr;  ///< of a single batch
  Index block_size = 1;

  Index batches() const { return shape[0]; }
  Index heads() const { return shape[1]; }
  Index tokens() const { return shape[2]; }
  Index features() const { return shape[3]; }
};

template <class S>
CachedHead<S> tokens_of(const CachedTokens<S>& view, Index b, Index h) {
  const Index row = view.first_row + b * view.batch_rows + h * view.head_rows;
  return {view.data + row * view.features(), view.scales ? view.scales + row : nullptr,
          view.features(), view.blocks, view.block_size};
}

/// A cache gives nobody its memory to write to.
template <class U, class S>
bool overlap(const TensorView<U>&, const CachedTokens<S>&) {
  return false;
}

/// Tokens first .. first+count-1 in place where they lie behind one another in the accumulator
/// type, else copied into `buffer` (count x features numbers), converted and scaled.
template <class A, class S>
Operand<A> load_operand(const CachedHead<S>& from, Index first, Index count, A* buffer) {
  const Index features = from.features;
  if constexpr (std::is_same_v<A, S>)
    if (from.run(first, count) == count) return {from.at(first), count, features, features, true};
  for (Index j = 0, run; j < count; j += run) {
    run = from.run(first + j, count - j);
    const S* data = from.at(first + j);
    for (Index t = 0; t < run; ++t) {
      const Pack<A> scale(from.scales ? static_cast<A>(from.scales[from.row(first + j) + t])
                                      : A(1));
      A* to = buffer + (j + t) * features;
      for (Index k = 0; k < features; k += Pack<A>::width)
        store_first_as(load_first_as<A>(data + t * features + k, features - k) * scale, to + k,
                       features - k);
    }
  }
  return {buffer, count, features, features, true};
}

template <class S>
class DecodeOperand<CachedTokens<S>> {
 public:
  DecodeOperand(const CachedTokens<S>& view, Index b, Index h, Index, S*)
      : tokens_(tokens_of(view, b, h)) {}

  static Index buffer_size(const CachedTokens<S>&, Index, Index) { return 0; }
  static bool by_columns() { return false; }
  Index features() const { return tokens_.features; }

  Index run(Index first, Index count) const { return tokens_.run(first, count); }
  /// The first run of these tokens.
  StoredRows<S> place(Index first, Index count) const {
    if (count == 0) return {nullptr, 0, 0, 0};
    return {tokens_.at(first), run(first, count), tokens_.features, tokens_.features};
  }
  StoredRows<S> load(Index first, Index count) const { return place(first, count); }

  /// Of a run from `first` on.
  const float* scales(Index first) const {
    return tokens_.scales ? tokens_.scales + tokens_.row(first) : nullptr;
  }
  /// Whole numbers are finite; their scale may not be.
  template <class A>
  bool all_finite(Index first, Index count) const {
    bool finite = true;
    for (Index j = first, run; j < first + count; j += run) {
      const StoredRows<S> rows = place(j, first + count - j);
      run = rows.count;
      if constexpr (is_quantised<S>)
        finite = finite && engine::all_finite<A>(scales(j), 1, run, run);
      else
        finite = finite && engine::all_finite<A>(rows.data, run, rows.length, rows.stride);
    }
    return finite;
  }
  template <class A>
  A at(Index token, Index feature) const {
    const A x = static_cast<A>(tokens_.at(token)[feature]);
    return tokens_.scales ? x * static_cast<A>(tokens_.scales[tokens_.row(token)]) : x;
  }

 private:
  CachedHead<S> tokens_;
};

}  // namespace engine
ATTN_END_NAMESPACE
