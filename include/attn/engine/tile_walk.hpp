// SPDX-License-Identifier: Apache-2.0
// The walk that forward and backward share: one block of queries against the keys, tile by tile.
//
//     load queries -> each tile of keys: ask the masks -> (empty: next) -> raw scores S -> f(tile)
#pragma once

#include <algorithm>
#include <type_traits>
#include <utility>

#include <attn/concepts.hpp>
#include <attn/config.hpp>
#include <attn/engine/kernel.hpp>
#include <attn/engine/panel.hpp>
#include <attn/engine/program.hpp>
#include <attn/engine/score_tile.hpp>
#include <attn/tensor_view.hpp>
#include <attn/workspace.hpp>

ATTN_BEGIN_NAMESPACE
namespace engine {

/// Views of Q, K and V.
template <class T>
struct Inputs {
  TensorView<const T> q;
  TensorView<const T> k;
  TensorView<const T> v;

  Index key_head(Index h) const { return h / (q.heads() / k.heads()); }
  Index n_q() const { return q.tokens(); }
  Index n_k() const { return k.tokens(); }
};

/// One block of queries of one head.
struct QueryBlock {
  Index batch;
  Index head;
  Index first;
  Index count;
};

/// One tile: keys first .. first+count-1 against the queries of a block.
struct KeyTile {
  Index first;
  Index count;
  Verdict verdict;
  Tile positions;
};

/// Everything that the tasks of a call share and do not change.
template <class T, class Program, class ScoreTile>
struct Call {
  using A = typename Program::Accumulator;

  Inputs<T> in;
  const Program& program;
  ScoreTile score;
  TileSizes tiles;
  A* projected_keys;  ///< key_width columns of n_k numbers for every batch and key head, or null

  Index query_width() const { return score.query_width(in.q.features(), in.k.features()); }
  Index key_width() const { return score.key_width(in.q.features(), in.k.features()); }
  Index query_blocks() const { return (in.n_q() + tiles.queries - 1) / tiles.queries; }
  Index tasks() const { return in.q.batches() * in.q.heads() * query_blocks(); }

  QueryBlock block(Index task) const {
    const Index blocks = query_blocks(), first = task % blocks * tiles.queries;
    return {task / blocks / in.q.heads(), task / blocks % in.q.heads(), first,
            std::min(tiles.queries, in.n_q() - first)};
  }

  ConstTileMap<A> projected(Index b, Index c) const {
    const A* first = projected_keys + (b * in.k.heads() + c) * key_width() * in.n_k();
    return {first, in.n_k(), key_width(), Eigen::OuterStride<>(in.n_k())};
  }

  static Index projected_count(const Inputs<T>& in, const ScoreTile& score) {
    return ScoreTile::projects_keys ? in.k.batches() * in.k.heads() * in.n_k() *
                                          score.key_width(in.q.features(), in.k.features())
                                    : 0;
  }

  /// Transforms all keys of one batch and key head, a tile at a time.
  void project_keys(Index b, Index c, A* buffer) const {
    const Slice<const T> keys(in.k, b, c);
    for (Index j = 0; j < in.n_k(); j += tiles.keys) {
      const Index count = std::min(tiles.keys, in.n_k() - j);
      TileMap<A> raw(buffer, count, keys.features, Eigen::OuterStride<>(count));
      read_tokens(keys, j, raw);
      A* out = const_cast<A*>(projected(b, c).data()) + j;
      score.project_key(ConstTileMap<A>(buffer, count, keys.features, Eigen::OuterStride<>(count)),
                        TileMap<A>(out, count, key_width(), Eigen::OuterStride<>(in.n_k())));
    }
  }
};

/// Scratch of one worker for a walk.
template <class A>
struct WalkScratch {
  PaddedTile<A> raw_q;  ///< queries x d, as the user gave them
  PaddedTile<A> q;      ///< queries x query_width, transformed
  PaddedTile<A> s;      ///< queries x keys
  A* keys;
  A* values;

  template <class C>
  WalkScratch(Arena& arena, const C& call)
      : raw_q(arena, call.tiles.queries, call.in.q.features()),
        q(arena, call.tiles.queries, call.query_width()),
        s(arena, call.tiles.queries, call.tiles.keys),
        keys(arena.take<A>(call.tiles.keys * call.in.k.features())),
        values(arena.take<A>(call.tiles.keys * call.in.v.features())) {}
};

template <class T, class Program, class ScoreTile>
class TileWalk {
 public:
  using C = Call<T, Program, ScoreTile>;
  using A = typename C::A;

  TileWalk(const C& call, const WalkScratch<A>& scratch, const QueryBlock& block)
      : call_(call), scratch_(scratch), block_(block) {
    load_queries();
  }

  const QueryBlock& block() const { return block_; }
  const C& call() const { return call_; }
  const WalkScratch<A>& scratch() const { return scratch_; }

  /// f(KeyTile) for every tile that is not empty, with the raw scores in scratch().s.
  template <class F>
  void for_each_tile(F&& f) const {
    const Index n_k = call_.in.n_k();
    for (Index j = 0; j < n_k; j += call_.tiles.keys) {
      const Index count = std::min(call_.tiles.keys, n_k - j);
      const Tile positions =
          call_.program.tile(block_.batch, block_.head, block_.first, block_.count, j, count);
      const Verdict verdict = call_.program.verdict(positions);
      if (verdict == Verdict::empty) continue;
      raw_scores(keys(j, count));
      f(KeyTile{j, count, verdict, positions});
    }
  }

  /// The transformed keys of a tile.
  Operand<A> keys(Index first, Index count) const {
    const Index c = call_.in.key_head(block_.head);
    if constexpr (ScoreTile::projects_keys) {
      const ConstTileMap<A> all = call_.projected(block_.batch, c);
      return Operand<A>(ConstTileMap<A>(all.data() + first, count, all.cols(),
                                        Eigen::OuterStride<>(all.outerStride())));
    } else {
      return load_operand<A>(Slice<const T>(call_.in.k, block_.batch, c), first, count,
                             scratch_.keys);
    }
  }

  Operand<A> values(Index first, Index count) const {
    return load_operand<A>(Slice<const T>(call_.in.v, block_.batch, call_.in.key_head(block_.head)),
                           first, count, scratch_.values);
  }

  /// The queries as the user gave them, in the accumulator type: in place where they can be.
  ConstTileMap<A> raw_queries() const {
    if constexpr (std::is_same_v<A, T>) {
      if (queries_in_place()) {
        const TensorView<const T>& q = call_.in.q;
        return {q.pointer(block_.batch, block_.head, block_.first), block_.count, q.features(),
                Eigen::OuterStride<>(q.strides[3])};
      }
    }
    return scratch_.raw_q.const_map(block_.count, call_.in.q.features());
  }
  /// The queries as the product takes them.
  ConstTileMap<A> queries() const {
    if constexpr (ScoreTile::projects_queries)
      return scratch_.q.const_map(block_.count, call_.query_width());
    else
      return raw_queries();
  }

  /// Runs f(pack, position) over every pack of the tile's scores and stores what it returns.
  template <class F>
  void transform_scores(const KeyTile& tile, F&& f) const {
    for (Index j = 0; j < tile.count; ++j) {
      A* column = scratch_.s.column(j);
      for (Index i = 0; i < block_.count; i += Pack<A>::width)
        f(Pack<A>::load(column + i), call_.program.place(tile.positions, i, j)).store(column + i);
    }
  }

  /// Score modifiers and masks: after this, -inf stands where a key is not visible.
  void modify_scores(const KeyTile& tile) const {
    const Program& program = call_.program;
    const Extent e = tile.positions.extent;
    if constexpr (Program::mod_count > 0)
      transform_scores(tile, [&](const Pack<A>& s, const PackPosition<A>& at) {
        return program.modify(s, at, e);
      });
    if (tile.verdict == Verdict::mixed)
      transform_scores(tile, [&](const Pack<A>& s, const PackPosition<A>& at) {
        return program.mask(s, at, e, minus_infinity<A>);
      });
  }

  /// Whether some pair of the tile may be hidden.
  bool may_hide(const KeyTile& tile) const {
    constexpr bool score_can_hide = requires { requires ScoreTile::can_hide; };
    return tile.verdict == Verdict::mixed || Program::mods_can_mask || score_can_hide;
  }

 private:
  void load_queries() const {
    if (!queries_in_place())
      read_tokens(Slice<const T>(call_.in.q, block_.batch, block_.head), block_.first,
                  scratch_.raw_q.map(block_.count, call_.in.q.features()));
    if constexpr (ScoreTile::projects_queries) {
      PaddedTile<A> q = scratch_.q;
      q.set_zero(call_.query_width());
      call_.score.project_query(raw_queries(), q.map(block_.count, call_.query_width()));
    }
    PaddedTile<A> s = scratch_.s;
    s.set_zero(call_.tiles.keys);
  }

  bool queries_in_place() const {
    return std::is_same_v<A, T> && call_.in.q.strides[2] == 1 &&
           call_.in.q.strides[3] >= block_.count;
  }

  void raw_scores(const Operand<A>& keys) const {
    if constexpr (ScoreTile::is_product)
      product_transposed<A>(scratch_.s.map(block_.count, keys.rows), queries(), keys,
                            call_.score.factor());
    else
      call_.score.scores(scratch_.s, block_.count, scratch_.q, keys);
  }

  const C& call_;
  const WalkScratch<A>& scratch_;
  QueryBlock block_;
};

}  // namespace engine
ATTN_END_NAMESPACE
