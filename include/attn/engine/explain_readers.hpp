// SPDX-License-Identifier: Apache-2.0
// Readers of weights: what explanations of attention keep of a tile before it is let go.
//
//     start(block) -> take(tile of weights, share of the queries) for each tile -> finish(block)
//
// `hidden` stands in a tile where a key is not visible. Next: explain_walk.hpp, which makes the
// tiles.
#pragma once

#include <algorithm>
#include <limits>

#include <attn/concepts.hpp>
#include <attn/config.hpp>
#include <attn/engine/packed.hpp>
#include <attn/engine/packet_math.hpp>
#include <attn/engine/panel.hpp>
#include <attn/engine/tile_walk.hpp>
#include <attn/packed_sequences.hpp>
#include <attn/tensor_view.hpp>

ATTN_BEGIN_NAMESPACE
namespace engine {

/// H_i = -sum_j P_ij log P_ij.
template <class A>
struct EntropyReader {
  TensorView<A> entropy;  ///< {batch, head, query, 1}

  static constexpr A hidden = A(0);
  static constexpr bool sums_queries = false;

  EntropyReader of(const TokenRange& queries, const TokenRange&) const {
    return {cut_tokens(entropy, queries)};
  }
  bool reads(const QueryBlock&) const { return true; }
  void start(const QueryBlock& block) const {
    for (Index i = block.first; i < block.first + block.count; ++i)
      entropy(block.batch, block.head, i, 0) = A(0);
  }
  void take(const QueryBlock& block, const KeyTile& tile, const PaddedTile<A>& p, Index) const {
    for (Index i = 0; i < tile.panel.count; i += Pack<A>::width) {
      Pack<A> total(0);
      for (Index j = 0; j < tile.count; ++j) {
        const Pack<A> x = Pack<A>::load(p.column(j) + i);
        total -= select(x == Pack<A>(0), Pack<A>(0), x * log(x));
      }
      A lanes[Pack<A>::width];
      total.store(lanes);
      const Index first = block.first + tile.panel.first + i;
      for (Index l = 0; l < std::min(Pack<A>::width, tile.panel.count - i); ++l)
        entropy(block.batch, block.head, first + l, 0) += lanes[l];
    }
  }
  void finish(const QueryBlock&) const {}
};

/// The k keys of most weight, from the most on; of equal ones the lower key, and NaN before all.
template <class A>
struct TopKeysReader {
  TensorView<Index> keys;  ///< {batch, head, query, k}, k neighbouring numbers a query
  TensorView<A> weights;
  Index first_key = 0;  ///< what key 0 is called

  static constexpr A hidden = std::numeric_limits<A>::lowest();
  static constexpr bool sums_queries = false;

  TopKeysReader of(const TokenRange& of_queries, const TokenRange& of_keys) const {
    return {cut_tokens(keys, of_queries), cut_tokens(weights, of_queries), of_keys.first};
  }
  bool reads(const QueryBlock&) const { return true; }
  void start(const QueryBlock& block) const {
    for (Index i = block.first; i < block.first + block.count; ++i) {
      std::fill_n(keys.pointer(block.batch, block.head, i), keys.features(), Index(-1));
      std::fill_n(weights.pointer(block.batch, block.head, i), keys.features(), hidden);
    }
  }
  /// Most queries have their keys early on: only those are looked at key by key for which the
  /// largest weight of the tile is enough, or for which some weight is not finite.
  void take(const QueryBlock& block, const KeyTile& tile, const PaddedTile<A>& p, Index) const {
    for (Index i = 0; i < tile.panel.count; i += Pack<A>::width) {
      Pack<A> most(hidden), not_finite(0);
      for (Index j = 0; j < tile.count; ++j) {
        const Pack<A> x = Pack<A>::load(p.column(j) + i);
        most = max(most, x);
        not_finite += x - x;
      }
      A largest[Pack<A>::width], broken[Pack<A>::width];
      most.store(largest);
      not_finite.store(broken);
      const Index first = block.first + tile.panel.first + i;
      for (Index l = 0; l < std::min(Pack<A>::width, tile.panel.count - i); ++l) {
        const A* list = weights.pointer(block.batch, block.head, first + l);
        if (is_above(largest[l], list[keys.features() - 1]) || broken[l] != A(0))
          take_row({block.batch, block.head, first + l, tile.first}, tile.count, p, i + l);
      }
    }
  }
  void finish(const QueryBlock& block) const {
    for (Index i = block.first; i < block.first + block.count; ++i)
      for (Index r = 0; r < keys.features(); ++r)
        if (keys(block.batch, block.head, i, r) < 0) weights(block.batch, block.head, i, r) = A(0);
  }

 private:
  static bool is_above(A a, A b) { return a > b || (a != a && b == b); }

  void take_row(const Position& at, Index count, const PaddedTile<A>& p, Index row) const {
    const Index k = keys.features();
    A* weight = weights.pointer(at.batch, at.head, at.query);
    Index* key = keys.pointer(at.batch, at.head, at.query);
    for (Index j = 0; j < count; ++j) {
      const A x = p.column(j)[row];
      if (!is_above(x, weight[k - 1])) continue;
      Index r = k - 1;
      for (; r > 0 && is_above(x, weight[r - 1]); --r) {
        weight[r] = weight[r - 1];
        key[r] = key[r - 1];
      }
      weight[r] = x;
      key[r] = first_key + at.key + j;
    }
  }
};

/// m_j = sum_i r_i P_ij, a sum for each share of the queries. A query of weight r_i = 0 adds
/// nothing, whatever its P_ij.
template <class A>
struct ColumnReader {
  TensorView<const A> row_weights;  ///< {batch, head, query, 1}
  TensorView<A> sums;               ///< {batch, head, share, key}, zeros at first

  static constexpr A hidden = A(0);
  static constexpr bool sums_queries = true;

  bool reads(const QueryBlock& block) const {
    for (Index i = block.first; i < block.first + block.count; ++i)
      if (row_weights(block.batch, block.head, i, 0) != A(0)) return true;
    return false;
  }
  void start(const QueryBlock&) const {}
  void take(const QueryBlock& block, const KeyTile& tile, const PaddedTile<A>& p,
            Index share) const {
    A r[panel_width<A>] = {};
    for (Index i = 0; i < tile.panel.count; ++i)
      r[i] = row_weights(block.batch, block.head, block.first + tile.panel.first + i, 0);
    A* to = sums.pointer(block.batch, block.head, share, tile.first);
    for (Index j = 0; j < tile.count; ++j) {
      Pack<A> total(0);
      for (Index i = 0; i < tile.panel.count; i += Pack<A>::width) {
        const Pack<A> weight = Pack<A>::load(r + i);
        total += select(weight == Pack<A>(0), Pack<A>(0), weight * Pack<A>::load(p.column(j) + i));
      }
      to[j] += sum(total);
    }
  }
  void finish(const QueryBlock&) const {}
};

}  // namespace engine
ATTN_END_NAMESPACE
