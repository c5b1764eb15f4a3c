// SPDX-License-Identifier: Apache-2.0
// The walk that forward and backward share: one block of queries against the keys, tile by tile.
//
//     pack queries -> each tile of keys: ask the masks -> (empty: next) -> pack keys
//                  -> each panel of queries: ask the masks -> f(tile)
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

/// Views of Q, K and V. A cache has K and V in another type, or as CachedTokens.
template <class T, class Tokens = TensorView<const T>>
struct Inputs {
  TensorView<const T> q;
  Tokens k;
  Tokens v;

  Index key_head(Index h) const {
    return k.heads() == q.heads() ? h : k.heads() == 1 ? 0 : h / (q.heads() / k.heads());
  }
  Index n_q() const { return q.tokens(); }
  Index n_k() const { return k.tokens(); }
};

/// What a forward call writes; a view without data is not asked for.
template <class T, class A>
struct Outputs {
  TensorView<T> output;       ///< {batch, head, n_q, d_v}
  TensorView<A> log_sum_exp;  ///< {batch, head, n_q, 1}
  bool are_new = false;       ///< made for this call: of the right shape, and apart from the inputs
};

/// The weights as well. A type of its own: calls without them do not compile what makes them.
template <class T, class A>
struct WeightedOutputs : Outputs<T, A> {
  TensorView<T> weights;  ///< {batch, head, n_q, n_k}; always asked for
};
template <class Out>
inline constexpr bool has_weights = requires(const Out& out) {
  out.weights;
};

/// What backward reads of the forward call, and what it writes.
template <class T, class A>
struct BackwardViews {
  TensorView<const T> output;
  TensorView<const A> log_sum_exp;
  TensorView<const T> d_output;
  TensorView<T> d_query;
  TensorView<T> d_key;
  TensorView<T> d_value;
};

/// One block of queries of one head.
struct QueryBlock {
  Index batch;
  Index head;
  Index first;
  Index count;
};

/// Keys first .. first+count-1.
struct KeyRange {
  Index first;
  Index count;
};

/// One tile: keys first .. first+count-1 against one panel of queries of a block.
struct KeyTile {
  Index first;
  Index count;
  Panel panel;
  Verdict verdict;
  Tile positions;
};

/// Tokens as a tile with contiguous columns, in the accumulator type.
template <class A, class Slice>
ConstTileMap<A> load_columns(const Slice& from, Index first, Index count, A* staging, A* buffer) {
  pack(load_operand<A>(from, first, count, staging), count, buffer);
  return {buffer, count, from.features, Eigen::OuterStride<>(count)};
}

/// Everything that the tasks of a call share and do not change.
template <class T, class Program, class ScoreTile, class Tokens = TensorView<const T>>
struct Call {
  using A = typename Program::Accumulator;

  Inputs<T, Tokens> in;
  const Program& program;
  ScoreTile score;
  TileSizes tiles;
  A* projected_keys;  ///< key_width columns of n_k numbers for every batch and key head, or null

  Index query_width() const { return score.query_width(in.q.features(), in.k.features()); }
  Index key_width() const { return score.key_width(in.q.features(), in.k.features()); }
  Index query_blocks() const { return (in.n_q() + tiles.queries - 1) / tiles.queries; }
  /// Multiply-adds of a forward pass over all pairs.
  Index products() const {
    return in.q.batches() * in.q.heads() * in.n_q() * in.n_k() * (query_width() + in.v.features());
  }
  Index tasks() const { return in.q.batches() * in.q.heads() * query_blocks(); }
  /// Numbers of the widest operand that one tile or panel reads.
  Index staging_size() const {
    return std::max(tiles.keys, std::min(panel_width<A>, tiles.queries)) *
           std::max({in.q.features(), in.k.features(), in.v.features(), query_width()});
  }

  /// Blocks of a head from the last to the first: under a causal mask the longest comes first.
  QueryBlock block(Index task) const {
    const Index blocks = query_blocks(), first = (blocks - 1 - task % blocks) * tiles.queries;
    return {task / blocks / in.q.heads(), task / blocks % in.q.heads(), first,
            std::min(tiles.queries, in.n_q() - first)};
  }

  /// Queries `query` .. of a block against keys `key` .., in the positions that parts see.
  Tile tile_of(const QueryBlock& at, Index query, Index queries, Index key, Index keys) const {
    return program.tile(at.batch, at.head, at.first + query, queries, key, keys);
  }

  /// f(first, count, verdict) for the tiles of these keys that are not empty for a block. Ranges of
  /// keys are halved until a mask knows them as a whole, so that a window costs its own width.
  template <class F>
  void for_each_key_tile(const QueryBlock& at, Index first, Index count, F&& f) const {
    if (count == 0) return;
    const Verdict verdict = program.verdict(tile_of(at, 0, at.count, first, count));
    if (verdict == Verdict::empty) return;
    const Index pieces = (count + tiles.keys - 1) / tiles.keys;
    if (verdict == Verdict::mixed && pieces > 1) {
      const Index half = pieces / 2 * tiles.keys;
      for_each_key_tile(at, first, half, f);
      for_each_key_tile(at, first + half, count - half, f);
      return;
    }
    for (Index j = first; j < first + count; j += tiles.keys)
      f(j, std::min(tiles.keys, first + count - j), verdict);
  }

  ConstTileMap<A> projected(Index b, Index c) const {
    const A* first = projected_keys + (b * in.k.heads() + c) * key_width() * in.n_k();
    return {first, in.n_k(), key_width(), Eigen::OuterStride<>(in.n_k())};
  }

  static Index projected_count(const Inputs<T, Tokens>& in, const ScoreTile& score) {
    return ScoreTile::projects_keys ? in.k.batches() * in.k.heads() * in.n_k() *
                                          score.key_width(in.q.features(), in.k.features())
                                    : 0;
  }

  /// Transforms all keys of one batch and key head, a tile at a time.
  void project_keys(Index b, Index c, A* staging, A* buffer) const {
    const auto keys = tokens_of(in.k, b, c);
    for (Index j = 0; j < in.n_k(); j += tiles.keys) {
      const Index count = std::min(tiles.keys, in.n_k() - j);
      A* out = const_cast<A*>(projected(b, c).data()) + j;
      score.project_key(load_columns(keys, j, count, staging, buffer),
                        TileMap<A>(out, count, key_width(), Eigen::OuterStride<>(in.n_k())));
    }
  }
};

/// Scratch of one worker for a walk.
template <class A>
struct WalkScratch {
  A* staging;       ///< tokens that must be converted or gathered before they are packed
  A* raw;           ///< queries of a panel before a projection
  A* q;             ///< packed queries of a block: [panel][feature][query]
  A* k;             ///< packed keys of a tile: [key / group][feature][group]
  PaddedTile<A> s;  ///< scores of a panel and a tile: [key][query]

  template <class C>
  WalkScratch(Arena& arena, const C& call)
      : staging(arena.take<A>(call.staging_size())),
        raw(arena.take<A>(call.staging_size())),
        q(arena.take<A>(call.tiles.queries * call.query_width())),
        k(arena.take<A>(grouped(call.tiles.keys) * call.key_width())),
        s(arena, panel_width<A>, grouped(call.tiles.keys)) {}
};

template <class T, class Program, class ScoreTile, class Tokens = TensorView<const T>>
class TileWalk {
 public:
  using C = Call<T, Program, ScoreTile, Tokens>;
  using A = typename C::A;

  TileWalk(const C& call, const WalkScratch<A>& scratch, const QueryBlock& block)
      : TileWalk(call, scratch, block, {0, call.in.n_k()}) {}
  TileWalk(const C& call, const WalkScratch<A>& scratch, const QueryBlock& block,
           const KeyRange& range)
      : call_(call), scratch_(scratch), block_(block), range_(range), panels_(block.count) {
    for (Index p = 0; p < panels_.count(); ++p) load_queries(panels_[p]);
  }

  const QueryBlock& block() const { return block_; }
  const C& call() const { return call_; }
  const WalkScratch<A>& scratch() const { return scratch_; }
  const Panels<A>& panels() const { return panels_; }
  const KeyRange& key_range() const { return range_; }

  /// load(first, count) for every tile of keys that is not empty for the whole block, then
  /// f(KeyTile) for each of its panels that see something of it.
  template <class Load, class F>
  void for_each_tile(Load&& load, F&& f) const {
    const auto visit = [&](Index first, Index count, Verdict of_block) {
      if constexpr (ScoreTile::is_product)
        if (!is_direct()) pack(keys(first, count), key_group, scratch_.k);
      load(first, count);
      for (Index p = 0; p < panels_.count(); ++p) {
        const Panel panel = panels_[p];
        const Tile positions = call_.tile_of(block_, panel.first, panel.count, first, count);
        const Verdict verdict =
            of_block == Verdict::full ? of_block : call_.program.verdict(positions);
        if (verdict != Verdict::empty) f(KeyTile{first, count, panel, verdict, positions});
      }
    };
    call_.for_each_key_tile(block_, range_.first, range_.count, visit);
  }

  /// Whether keys and values are better left unpacked.
  bool is_direct() const { return ScoreTile::is_product && panels_.count() <= direct_panels; }

  /// The transformed keys of a tile.
  Operand<A> keys(Index first, Index count) const {
    const Index c = call_.in.key_head(block_.head);
    if constexpr (ScoreTile::projects_keys) {
      const ConstTileMap<A> all = call_.projected(block_.batch, c);
      return {all.data() + first, count, all.cols(), all.outerStride(), false};
    } else {
      return load_operand<A>(tokens_of(call_.in.k, block_.batch, c), first, count,
                             scratch_.staging);
    }
  }

  Operand<A> values(Index first, Index count) const {
    return load_operand<A>(tokens_of(call_.in.v, block_.batch, call_.in.key_head(block_.head)),
                           first, count, scratch_.staging);
  }

  /// The queries of a panel as the user gave them, in the accumulator type.
  ConstTileMap<A> raw_queries(const Panel& panel) const {
    return load_columns<A>(Slice<const T>(call_.in.q, block_.batch, block_.head),
                           block_.first + panel.first, panel.count, scratch_.staging, scratch_.raw);
  }
  /// The queries of a panel as the products take them.
  PaddedTile<A> queries(const Panel& panel) const {
    return {scratch_.q + panel.first * call_.query_width(), panel_rows<A>(panel)};
  }

  /// f(pack, position) of every pack of a tile's scores takes their place. Packs of the same
  /// queries follow one another.
  template <class F>
  ATTN_INLINE void transform_scores(const KeyTile& tile, F&& f) const {
    const Program& program = call_.program;
    const Tile positions = tile.positions;  // copies: a store might have changed what they are of
    const Index stride = scratch_.s.stride, keys = tile.count;
    for (Index i = 0; i < tile.panel.count; i += Pack<A>::width) {
      A* s = scratch_.s.data + i;
      for (Index j = 0; j < keys; ++j, s += stride)
        f(Pack<A>::load(s), program.place(positions, i, j)).store(s);
    }
  }

  /// The scores of a tile, through modifiers and masks: -inf stands where a key is not visible.
  /// `maximum` holds one of each query so far, and grows.
  void scores(const KeyTile& tile, A* maximum) const {
    if constexpr (ScoreTile::is_product)
      if (tile.verdict == Verdict::full) return full_scores(tile, maximum);
    if constexpr (!ScoreTile::is_product || Program::has_masks) masked_scores(tile, maximum);
  }

  /// The scores before any modifier; `finish` is what becomes of those of products (kernel.hpp).
  template <class Finish>
  void raw_scores(const KeyTile& tile, const Finish& finish) const {
    if constexpr (!ScoreTile::is_product)
      call_.score.scores(scratch_.s, tile.panel.count, queries(tile.panel),
                         keys(tile.first, tile.count));
    else if (is_direct())
      score_panel_direct(tile.panel.packs, queries(tile.panel).data, keys(tile.first, tile.count),
                         scratch_.s.data, finish);
    else
      score_panel(tile.panel.packs, queries(tile.panel).data, scratch_.k, call_.query_width(),
                  tile.count, scratch_.s.data, finish);
  }

  /// Whether some pair of the tile may be hidden.
  bool may_hide(const KeyTile& tile) const {
    constexpr bool score_can_hide = requires { requires ScoreTile::can_hide; };
    return tile.verdict == Verdict::mixed || Program::mods_can_mask || score_can_hide;
  }

 private:
  /// Products of which no pair is masked: all is done before they leave the registers.
  void full_scores(const KeyTile& tile, A* maximum) const {
    const Program& program = call_.program;
    if constexpr (Program::mod_count == 0) {
      raw_scores(tile, FindMaximum<A>{maximum});
    } else {
      const auto modify = program.modifier(tile.positions);  // asks for what it will read
      const auto f = [&](const Pack<A>& s, Index query, Index key) {
        return modify(s, program.place(tile.positions, query, key));
      };
      raw_scores(tile, ModifyScores<A, decltype(f)>{f, maximum});
    }
  }

  void masked_scores(const KeyTile& tile, A* maximum) const {
    const Program& program = call_.program;
    const auto modify = program.modifier(tile.positions);
    raw_scores(tile, AsTheyAre());
    if (tile.verdict == Verdict::mixed)
      transform_scores(tile,
                       [&, e = tile.positions.extent](const Pack<A>& s, const PackPosition<A>& at) {
                         return program.mask(modify(s, at), at, e, minus_infinity<A>);
                       });
    else
      transform_scores(tile, modify);
    with_packs(tile.panel.packs,
               [&](auto packs) { find_maximum_of<packs>(scratch_.s.data, tile.count, maximum); });
  }

  void load_queries(const Panel& panel) const {
    PaddedTile<A> q = queries(panel);
    if constexpr (ScoreTile::projects_queries) {
      q.set_zero(call_.query_width());
      call_.score.project_query(raw_queries(panel), q.map(panel.count, call_.query_width()));
    } else {
      const Slice<const T> from(call_.in.q, block_.batch, block_.head);
      pack(load_operand<A>(from, block_.first + panel.first, panel.count, scratch_.staging),
           q.stride, q.data, call_.score.factor());
    }
  }

  const C& call_;
  const WalkScratch<A>& scratch_;
  QueryBlock block_;
  KeyRange range_;
  Panels<A> panels_;
};

}  // namespace engine
ATTN_END_NAMESPACE
