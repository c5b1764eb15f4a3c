// SPDX-License-Identifier: Apache-2.0
// A mask with the verdicts of its blocks computed once and kept.
//
//     mask -> verdict of every block (its own, or pair by pair) -> engine/verdict_grid.hpp
#pragma once

#include <algorithm>
#include <memory>
#include <type_traits>
#include <utility>

#include <attn/check.hpp>
#include <attn/concepts.hpp>
#include <attn/config.hpp>
#include <attn/engine/verdict_grid.hpp>
#include <attn/mask.hpp>
#include <attn/parameter.hpp>

ATTN_BEGIN_NAMESPACE

/// What a BlockMask is built for: the largest call, and how finely it is looked at.
struct BlockMaskSizes {
  Integer n_q = 0;
  Integer n_k = 0;
  Integer batches = 1;    ///< 1: the same blocks for every batch of a call
  Integer heads = 1;      ///< query heads; 1: the same blocks for every head
  Integer block = 64;     ///< queries of a block
  Integer key_block = 0;  ///< keys of a block; 0: as many as queries
};

namespace engine {

/// Permits what the blocks around it do; the rule of blocks that somebody else decided.
struct EveryPair {
  using role = role::mask;
  bool permits(const Position&, Extent) const { return true; }
  Verdict verdict(const Tile&) const { return Verdict::full; }
};

/// Whether the rule of a mask depends on the sizes of the call. One of the user's own may, unless a
/// member depends_on_extent() says no.
struct DependsOnExtent {
  template <class M>
  static bool of(const M& m) {
    if constexpr (requires { m.depends_on_extent(); })
      return m.depends_on_extent();
    else
      return true;
  }
  static bool of(const Causal& m) { return m.from_bottom_right; }
  static bool of(const SlidingWindow& m) { return m.from_bottom_right; }
  static bool of(const PrefixLm&) { return false; }
  static bool of(const KeyPadding&) { return false; }
  static bool of(const Documents&) { return false; }
  static bool of(const DenseMask&) { return false; }
  static bool of(const EveryPair&) { return false; }
  template <class F>
  static bool of(const MaskMod<F>&) {
    return false;
  }
  template <class A, class B>
  static bool of(const AndMask<A, B>& m) {
    return of(m.a) || of(m.b);
  }
  template <class A, class B>
  static bool of(const OrMask<A, B>& m) {
    return of(m.a) || of(m.b);
  }
  template <class A>
  static bool of(const NotMask<A>& m) {
    return of(m.a);
  }
};

}  // namespace engine

/// Any mask, looked at once: which blocks of queries and keys are empty, full or mixed. Calls skip
/// the empty blocks and pay nothing for full ones; only in mixed ones is the mask itself asked.
///
///     const attn::BlockMask blocks(attn::mask_mod(f), n_q, n_k);
///     attention(Q, K, V, blocks);  // a mask like any other, for as many calls as wanted
///
/// Params      the mask, and n_q and n_k or BlockMaskSizes: `BlockMask(mask, {.n_q = 8192,
///             .n_k = 8192, .heads = 8, .block = 128})`. Positions are those that parts see, so
///             chunks with a PositionOffset, and smaller calls, use the blocks of the whole.
///             Copies share the blocks and the mask
/// Broadcast   with 1 batch (head) built, the mask is asked about batch (head) 0 for all of them
/// Changes     what the mask refers to (a Map, a pointer in a lambda) must stay as it was
/// Alignment   a mask aligned to the bottom right needs calls of n_q and n_k as built (so does one
///             of a type of your own without a member depends_on_extent() that is false).
///             KeyPadding that moves it belongs inside, joined by `&`: with another one outside,
///             the mask itself is asked and nothing is saved
/// Cost        one verdict of the mask a block, and in mixed blocks the rule pair by pair until two
///             differ (for a mask_mod: at most n_q n_k calls). Memory 8 bytes a block:
///             8 (n_q / 64 + 1) (n_k / 64 + 1) for each batch and head, 0.5 MB at n = 16384; a
///             verdict then takes the same short time for rectangles of any size
/// Throws      ValueError for sizes below zero, blocks below one; ShapeError where the mask does
///             not fit the sizes; in calls ShapeError where the call is larger than what was built
/// Threads     not changed by calls, so any number may use it
/// Source      Dong et al. 2024 (FlexAttention)
template <class M = engine::EveryPair>
class BlockMask {
  static_assert(MaskPart<M>,
                "attn::BlockMask: the first argument must be a mask: attn::Causal{}, masks joined "
                "by `&`, or a function wrapped by attn::mask_mod(f).");

 public:
  using role = role::mask;

  BlockMask(M mask, Integer n_q, Integer n_k)
      : BlockMask(std::move(mask), BlockMaskSizes{.n_q = n_q, .n_k = n_k}) {}
  BlockMask(M mask, const BlockMaskSizes& sizes)
      : BlockMask(std::move(mask), sizes,
                  [](const State& s, const Tile& block) { return s.look_at(block); }) {}

  /// Blocks that are known: `BlockMask<>::from_blocks(layout, 64)`, where layout(r, c) tells
  /// whether queries 64 r .. 64 r + 63 see keys 64 c .. 64 c + 63. A matrix of bool, or a
  /// TensorView {batch, head, row, column}. Joins others by `&`, as in `... & attn::Causal{}`.
  static BlockMask from_blocks(
      const engine::Parameter<bool>& layout, Integer block = 64,
      Integer key_block = 0) requires std::is_same_v<M, engine::EveryPair> {
    const TensorView<const bool> sees = layout.tensor();
    const Index keys = key_block == 0 ? block : key_block;
    const BlockMaskSizes sizes{
        sees.tokens() * block, sees.features() * keys, sees.batches(), sees.heads(), block, keys};
    return BlockMask({}, sizes, [&](const State&, const Tile& at) {
      const bool is_seen = sees(at.batch, at.head, at.first_query / block, at.first_key / keys);
      return is_seen ? Verdict::full : Verdict::empty;
    });
  }

  void check(const engine::CallSizes& call) const {
    const BlockMaskSizes& built = state_->sizes;
    check_shared(call, "batches", built.batches, call.batches);
    check_shared(call, "heads", built.heads, call.heads);
    const auto refuse = [&](Index n_q, Index n_k, const char* rule) {
      engine::raise_shape({call.name, ": BlockMask is built for ",
                           engine::size_text(built.n_q, built.n_k), " and the call needs ",
                           engine::size_text(n_q, n_k), ", n_q x n_k; ", rule});
    };
    if (call.query_end > built.n_q || call.key_end > built.n_k)
      refuse(call.query_end, call.key_end, "build it for the largest call");
    if (depends_on_extent() && (call.n_q != built.n_q || call.n_k != built.n_k))
      refuse(call.n_q, call.n_k,
             "a mask aligned to the bottom right (or of a type of your own that does not say "
             "depends_on_extent() is false) must be built for these very sizes");
  }

  bool permits(const Position& at, Extent e) const {
    const Tile t = state_->fitted({at.batch, at.head, at.query, at.query, at.key, at.key, e});
    const Verdict kept = state_->kept(t);
    return kept == Verdict::mixed ? state_->mask.permits({t.batch, t.head, at.query, at.key}, e)
                                  : kept == Verdict::full;
  }
  template <class A>
  engine::PackMask<A> permits(const engine::PackPosition<A>& at, Extent e) const {
    const Index last_query = at.first_query + at.lanes - 1, block = state_->sizes.block;
    if (at.first_query / block != last_query / block)  // some lanes may be of a block that is known
      return engine::map_positions(engine::Pack<A>(0), at, [&](A, const Position& p) {
               return permits(p, e) ? A(1) : A(0);
             }) == engine::Pack<A>(1);
    const Tile t =
        state_->fitted({at.batch, at.head, at.first_query, last_query, at.key, at.key, e});
    const Verdict kept = state_->kept(t);
    if (kept != Verdict::mixed) return engine::PackMask<A>::all(kept == Verdict::full);
    return engine::permits_pack(
        state_->mask,
        engine::PackPosition<A>{t.batch, t.head, at.query, at.key, at.first_query, at.lanes}, e);
  }
  Verdict verdict(const Tile& asked) const {
    const Tile t = state_->fitted(asked);
    const Verdict kept = state_->kept(t);
    return kept == Verdict::mixed && state_->is_finer(t) ? state_->mask.verdict(t) : kept;
  }

  /// Of all batches and heads that were built.
  Index empty_blocks() const { return state_->blocks.empty_blocks(); }
  Index full_blocks() const { return state_->blocks.full_blocks(); }
  Index mixed_blocks() const { return state_->blocks.blocks() - empty_blocks() - full_blocks(); }
  /// The share of blocks that are empty, 0 to 1.
  double sparsity() const {
    const Index all = std::max<Index>(state_->blocks.blocks(), 1);
    return static_cast<double>(empty_blocks()) / static_cast<double>(all);
  }

  /// The KeyPadding within, or null.
  const KeyPadding* padding() const { return engine::find_padding(state_->mask); }
  bool depends_on_extent() const { return engine::DependsOnExtent::of(state_->mask); }

 private:
  struct State {
    M mask;
    BlockMaskSizes sizes;
    engine::VerdictGrid blocks;

    State(M wrapped, const BlockMaskSizes& s)
        : mask(std::move(wrapped)),
          sizes(s),
          blocks(s.batches, s.heads, (s.n_q + s.block - 1) / s.block,
                 (s.n_k + s.key_block - 1) / s.key_block) {}

    Extent extent(Index batch) const {
      const KeyPadding* padding = engine::find_padding(mask);
      return {sizes.n_q,
              padding ? std::min<Index>(sizes.n_k, padding->length(batch)) : Index(sizes.n_k)};
    }
    Tile block(Index b, Index h, Index row, Index col) const {
      const Index i = row * sizes.block, j = col * sizes.key_block;
      return {b,        h,
              i,        std::min<Index>(i + sizes.block, sizes.n_q) - 1,
              j,        std::min<Index>(j + sizes.key_block, sizes.n_k) - 1,
              extent(b)};
    }
    /// What the mask says of a block; where it does not know, its rule does.
    Verdict look_at(const Tile& t) const {
      const Verdict said = mask.verdict(t);
      if (said != Verdict::mixed) return said;
      const auto sees = [&](Index i, Index j) {
        return mask.permits(Position{t.batch, t.head, i, j}, t.extent);
      };
      const bool first = sees(t.first_query, t.first_key);
      for (Index j = t.first_key; j <= t.last_key; ++j)
        for (Index i = t.first_query + (j == t.first_key); i <= t.last_query; ++i)
          if (sees(i, j) != first) return Verdict::mixed;
      return first ? Verdict::full : Verdict::empty;
    }

    /// The same tile in the batch and head that were built for it.
    Tile fitted(Tile t) const {
      if (sizes.batches == 1) t.batch = 0;
      if (sizes.heads == 1) t.head = 0;
      return t;
    }
    engine::BlockRectangle around(const Tile& t) const {
      return {t.first_query / sizes.block, t.last_query / sizes.block,
              t.first_key / sizes.key_block, t.last_key / sizes.key_block};
    }
    /// Whether the blocks hold for the sizes of a call.
    bool holds_for(const Tile& t) const {
      if (!engine::DependsOnExtent::of(mask)) return true;
      const Extent built = extent(t.batch);
      return built.n_q == t.extent.n_q && built.n_k == t.extent.n_k;
    }
    /// By the blocks alone.
    Verdict kept(const Tile& t) const {
      return holds_for(t) ? blocks.verdict(t.batch, t.head, around(t)) : Verdict::mixed;
    }
    /// Whether the mask may know of a tile what the blocks do not.
    bool is_finer(const Tile& t) const {
      const engine::BlockRectangle r = around(t);
      return (r.first_row == r.last_row && r.first_col == r.last_col) || !holds_for(t);
    }
  };

  template <class F>
  BlockMask(M mask, const BlockMaskSizes& sizes, F&& verdict_of_block) {
    const auto state = std::make_shared<State>(std::move(mask), checked(sizes));
    const BlockMaskSizes& s = state->sizes;
    engine::check_part(state->mask, engine::CallSizes{.name = "BlockMask",
                                                      .batches = s.batches,
                                                      .heads = s.heads,
                                                      .n_q = s.n_q,
                                                      .n_k = s.n_k,
                                                      .query_end = s.n_q,
                                                      .key_end = s.n_k});
    state->blocks.fill([&](Index b, Index h, Index row, Index col) {
      return verdict_of_block(*state, state->block(b, h, row, col));
    });
    state_ = state;
  }

  static BlockMaskSizes checked(BlockMaskSizes s) {
    if (s.key_block == 0) s.key_block = s.block;
    const auto at_least = [](const char* what, Index value, Index least) {
      if (value < least)
        engine::raise_value(
            {"BlockMask: ", what, " is ", value, " and must be ", least, " or more"});
    };
    at_least("n_q", s.n_q, 0);
    at_least("n_k", s.n_k, 0);
    at_least("batches", s.batches, 1);
    at_least("heads", s.heads, 1);
    at_least("block", s.block, 1);
    at_least("key_block", s.key_block, 1);
    return s;
  }
  static void check_shared(const engine::CallSizes& call, const char* what, Index built,
                           Index needed) {
    if (built != 1 && built != needed)
      engine::raise_shape({call.name, ": BlockMask is built for ", built, " ", what,
                           " and the call has ", needed,
                           "; they must be equal, or 1 to serve all"});
  }

  std::shared_ptr<const State> state_;
};

template <class M>
BlockMask(M, Integer, Integer) -> BlockMask<M>;
template <class M>
BlockMask(M, BlockMaskSizes) -> BlockMask<M>;

ATTN_END_NAMESPACE
