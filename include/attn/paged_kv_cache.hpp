// SPDX-License-Identifier: Apache-2.0
// Keys and values of many sequences in one pool of blocks, which common beginnings share.
//
//     pool      [block 0][block 1] ...             block_size tokens each, for every head
//     sequence  size, table of blocks              token t is in block table[t / block_size]
//     fork      the same table                     each block counts the tables that hold it
//     append    writes behind the last token; a block that others hold too is copied first
//
// Blocks come from the pool one by one and go back when no table holds them, so memory is lost only
// at the ends of sequences. Attention reads through the table (engine/cached_tokens.hpp).
// Source: Kwon et al. 2023 (PagedAttention), section 4.
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <unordered_map>
#include <vector>

#include <attn/check.hpp>
#include <attn/concepts.hpp>
#include <attn/config.hpp>
#include <attn/engine/cache_call.hpp>
#include <attn/engine/cache_rows.hpp>
#include <attn/engine/cached_tokens.hpp>
#include <attn/engine/front.hpp>
#include <attn/executor.hpp>
#include <attn/tensor_view.hpp>
#include <attn/workspace.hpp>

ATTN_BEGIN_NAMESPACE

struct PagedKeyValueCacheOptions {
  Integer num_blocks = 0;
  Integer block_size = 64;  ///< tokens, a multiple of 4; decoding is fastest from 32 on
  Integer num_kv_heads = 1;
  Integer head_dim = 0;
  Integer value_dim = 0;  ///< 0: as head_dim
};

/// Keys and values of many sequences, stored and computed with as in KeyValueCache.
///
///     const Index a = cache.create();      cache.append(a, K, V);
///     const Index b = cache.fork(a);       // shares all that a holds, copies nothing
///     O = attend(Q, cache, b, Causal{});   attend_into(o, q, cache, std::vector{a, b});
///
/// Sequences are numbers that are never used twice, so one that has been freed is told as such
/// Cost      fork, free: the blocks of the sequence; append: the new tokens and at most one block
///           copied; the whole pool is allocated at once
/// Throws    ShapeError, ValueError (the pool is exhausted, no such sequence) before anything
///           changes
/// Threads   as a container: calls that change it need it to themselves
/// Source    Kwon et al. 2023 (PagedAttention), section 4
template <class T, class Storage = T>
class PagedKeyValueCache {
  static_assert(engine::diagnose_cache<T, Storage>());

 public:
  using Scalar = T;
  using Tokens = engine::CachedTokens<Storage>;

  explicit PagedKeyValueCache(PagedKeyValueCacheOptions options) : options_(options) {
    if (options_.value_dim == 0) options_.value_dim = options_.head_dim;
    engine::check_cache_shape(shape());
    const Index blocks = options_.num_blocks, size = options_.block_size;
    if (blocks < 1 || size < 4 || size % 4 != 0)
      engine::raise_value({"PagedKeyValueCache: num_blocks is ", blocks, " and block_size ", size,
                           "; there must be blocks, of a multiple of 4 tokens"});
    if (size > (Index(1) << 50) / blocks)
      engine::raise_value({"PagedKeyValueCache: ", blocks, " blocks of ", size,
                           " tokens are more than any memory holds"});
    engine::check_cache_memory(shape(), blocks * size);
    const Index rows = options_.num_kv_heads * pool_rows();
    keys_ = engine::CacheRows<Storage>(rows, options_.head_dim);
    values_ = engine::CacheRows<Storage>(rows, options_.value_dim);
    holders_.resize(static_cast<std::size_t>(blocks));
    free_.reserve(holders_.size());
    for (Index block = blocks; block-- > 0;) free_.push_back(block);
  }

  const PagedKeyValueCacheOptions& options() const { return options_; }
  Index sequences() const { return static_cast<Index>(sequences_.size()); }
  Index free_blocks() const { return static_cast<Index>(free_.size()); }
  Index used_blocks() const { return options_.num_blocks - free_blocks(); }
  /// How many sequences hold a block.
  Index holders(Index block) const { return holders_[static_cast<std::size_t>(block)]; }
  /// Memory of the pool, in bytes.
  Index bytes() const { return keys_.bytes() + values_.bytes(); }

  /// Tokens of a sequence.
  Index size(Index sequence) const { return find("size", sequence).size; }
  /// Its blocks, in the order of its tokens.
  std::span<const Index> blocks(Index sequence) const { return find("blocks", sequence).blocks; }

  /// A new sequence without tokens.
  Index create() { return add({}); }
  /// A new sequence with the tokens of another, whose blocks the two share.
  Index fork(Index sequence) {
    const Index copy = add(find("fork", sequence));
    for (const Index block : sequences_.at(copy).blocks) ++count(block);
    return copy;
  }
  /// Forgets a sequence; the blocks that no other holds are free again.
  void free(Index sequence) {
    find("free", sequence);
    release_from(sequences_.at(sequence), 0);
    sequences_.erase(sequence);
  }

  /// Takes in n tokens: K n x (kv heads * head_dim), V n x (kv heads * value_dim), or views of one
  /// batch.
  template <class K, class V>
  void append(Index sequence, const K& K_, const V& V_) {
    find("append", sequence);
    engine::with_new_tokens<T>(K_, V_, shape(), [&](const auto& k, const auto& v) {
      Sequence& s = sequences_.at(sequence);
      make_room(s, k.tokens());
      const auto row_of = [&](Index, Index h, Index t) {
        const Index token = s.size + t;
        return h * pool_rows() +
               s.blocks[static_cast<std::size_t>(token / options_.block_size)] *
                   options_.block_size +
               token % options_.block_size;
      };
      engine::store_tokens(k, keys_, row_of);
      engine::store_tokens(v, values_, row_of);
      s.size += k.tokens();
    });
  }

  /// Takes the newest tokens back until `size` are left.
  void truncate(Index sequence, Index size) {
    const Index all = find("truncate", sequence).size;
    if (size < 0 || size > all)
      engine::raise_value({"PagedKeyValueCache::truncate: ", size, " tokens are to be left of ",
                           all, "; tokens can only be taken back"});
    Sequence& s = sequences_.at(sequence);
    release_from(s, blocks_for(size));
    s.size = size;
  }

  /// Private to the engine: what n_q newest tokens of a sequence see.
  struct Visible {
    Tokens keys;
    Tokens values;
    PositionOffset offset;
  };
  Visible visible(const char* name, Index sequence, Index n_q) const {
    const Sequence& s = find(name, sequence);
    engine::check_newest(name, n_q, s.size);
    return {tokens(keys_, s), tokens(values_, s), {.query = s.size - n_q}};
  }
  engine::CacheShape shape() const {
    return {"PagedKeyValueCache", 1, options_.num_kv_heads, options_.head_dim, options_.value_dim};
  }

 private:
  struct Sequence {
    Index size = 0;
    std::vector<Index> blocks{};
  };

  Index pool_rows() const { return options_.num_blocks * options_.block_size; }
  Index blocks_for(Index size) const {
    return (size + options_.block_size - 1) / options_.block_size;
  }
  Index& count(Index block) { return holders_[static_cast<std::size_t>(block)]; }

  Index add(const Sequence& sequence) {
    sequences_.emplace(next_, sequence);
    return next_++;
  }
  const Sequence& find(const char* name, Index sequence) const {
    const auto found = sequences_.find(sequence);
    if (found == sequences_.end())
      engine::raise_value({"PagedKeyValueCache, ", name, ": there is no sequence ", sequence,
                           "; create and fork give their numbers, and free ends them"});
    return found->second;
  }

  Tokens tokens(const engine::CacheRows<Storage>& rows, const Sequence& s) const {
    Tokens view;
    view.data = rows.numbers();
    view.scales = rows.scales();
    view.shape = {1, options_.num_kv_heads, s.size, rows.width()};
    view.head_rows = pool_rows();
    view.blocks = s.blocks.data();
    view.block_size = options_.block_size;
    return view;
  }

  /// Blocks for n more tokens, the first of which nobody else may hold where it has tokens already.
  void make_room(Sequence& s, Index n) {
    const Index more = blocks_for(s.size + n) - blocks_for(s.size);
    const Index used = s.size % options_.block_size;
    const bool copies = n > 0 && used > 0 && holders(s.blocks.back()) > 1;
    if (more + copies > free_blocks())
      engine::raise_value({"PagedKeyValueCache: ", n, " tokens need ", more + copies,
                           " more blocks and ", free_blocks(), " of ", Index(options_.num_blocks),
                           " are free; free or truncate sequences, or make num_blocks larger"});
    const std::size_t needed = s.blocks.size() + static_cast<std::size_t>(more);
    if (needed > s.blocks.capacity()) s.blocks.reserve(std::max(needed, 2 * s.blocks.capacity()));
    if (copies) {
      const Index mine = take();
      copy_block(s.blocks.back(), mine, used);
      --count(s.blocks.back());
      s.blocks.back() = mine;
    }
    for (Index k = 0; k < more; ++k) s.blocks.push_back(take());
  }

  Index take() {
    const Index block = free_.back();
    free_.pop_back();
    count(block) = 1;
    return block;
  }

  void copy_block(Index from, Index to, Index tokens) {
    for (Index h = 0; h < options_.num_kv_heads; ++h) {
      const Index first = h * pool_rows();
      keys_.copy(keys_, first + from * options_.block_size, tokens,
                 first + to * options_.block_size);
      values_.copy(values_, first + from * options_.block_size, tokens,
                   first + to * options_.block_size);
    }
  }

  /// Gives back the blocks of a table from the given one on.
  void release_from(Sequence& s, Index first) {
    while (static_cast<Index>(s.blocks.size()) > first) {
      const Index block = s.blocks.back();
      s.blocks.pop_back();
      if (--count(block) == 0) free_.push_back(block);
    }
  }

  PagedKeyValueCacheOptions options_;
  engine::CacheRows<Storage> keys_;
  engine::CacheRows<Storage> values_;
  std::vector<Index> holders_;  ///< of each block
  std::vector<Index> free_;     ///< the next one at the end; never reallocated
  std::unordered_map<Index, Sequence> sequences_;
  Index next_ = 0;
};

namespace engine {

/// One of the batches of a view.
template <class T>
TensorView<T> batch_of(TensorView<T> view, Index b) {
  if (view.data) view.data += b * view.strides[0];
  view.shape[0] = 1;
  return view;
}

/// Attention over several sequences, one a batch of the queries. Each is a call of its own, since
/// it has a length and positions of its own; workers share the sequences where there are enough of
/// them, and else each sequence's tasks. All is checked before anything is written.
template <class T, class S, class... Parts>
void attend_call(const char* name, const TensorView<const T>& q,
                 const PagedKeyValueCache<T, S>& cache, std::span<const Index> sequences,
                 const Outputs<T, Accumulator<T>>& out, Parts&... parts) {
  const Index count = static_cast<Index>(sequences.size());
  if (q.batches() != count)
    raise_shape({name, ": Q has ", q.batches(), " batches and there are ", count,
                 " sequences; each batch of queries belongs to one"});
  if (!out.are_new)
    check_view(name, "O", out.output, q.heads(), q.tokens(), cache.shape().value_dim,
               Inputs<T, CachedTokens<S>>{q, {}, {}});
  const auto& executor = part_of<role::executor>(default_executor, parts...);
  const auto with_sequence = [&](Index b, auto&& f) {
    auto mine = out;
    mine.output = batch_of(out.output, b);
    const auto seen = cache.visible(name, sequences[static_cast<std::size_t>(b)], q.tokens());
    f(Inputs<T, CachedTokens<S>>{batch_of(q, b), seen.keys, seen.values}, mine, seen.offset);
  };
  for (Index b = 0; count > 1 && b < count; ++b)
    with_sequence(b, [&](const auto& in, const auto& mine, const PositionOffset& offset) {
      with_program<Accumulator<T>>(
          in.n_q(), in.n_k(),
          [&](const auto& program) { check_forward(name, in, program, executor, mine, offset); },
          parts..., offset);
    });
  const Index workers = executor.workers(count);
  const auto run = [&](Index b, auto&... more) {
    with_sequence(b, [&](const auto& in, const auto& mine, const PositionOffset& offset) {
      forward_call(name, in, mine, more..., offset);
    });
  };
  if (workers == 1 || workers < executor.workers(Index(1) << 30)) {
    for (Index b = 0; b < count; ++b) run(b, parts...);
    return;
  }
  // Of several executors the first counts, and of several workspaces the last.
  std::vector<Workspace> workspaces(static_cast<std::size_t>(workers));
  executor.run(count, [&](Index b, Index worker) {
    run(b, default_executor, parts..., workspaces[static_cast<std::size_t>(worker)]);
  });
}

}  // namespace engine

/// Attention of the newest tokens of one sequence over all of its tokens: as over a KeyValueCache.
template <class Q, class T, class S, class... Parts>
auto attend(const Q& q, const PagedKeyValueCache<T, S>& cache, Integer sequence, Parts&&... parts) {
  constexpr bool valid =
      engine::diagnose_cache_call<T, Q, Parts...>() && engine::diagnose_matrix<Q>();
  const Index one[] = {sequence};
  if constexpr (valid)
    return engine::attend_matrix(
        q, cache.shape(),
        [&](const auto& view, const auto& out) {
          engine::attend_call("attend", view, cache, std::span<const Index>(one), out, parts...);
        },
        parts...);
}

/// The same for several sequences of any lengths, into memory of the caller's.
///
/// Shapes   O, Q  {sequence, head, n_q, feature}, one batch a sequence; matrices for a single one
/// Parts    as for one sequence; each is a call of its own, in which parts see batch 0
/// Threads  share the sequences, or the work of each where they are few; same bits for any number
template <class O, class Q, class T, class S, class... Parts>
void attend_into(O&& o, const Q& q, const PagedKeyValueCache<T, S>& cache,
                 std::span<const Index> sequences, Parts&&... parts) {
  constexpr bool valid =
      engine::diagnose_output<O>() && engine::diagnose_cache_call<T, Q, Parts...>();
  if constexpr (valid)
    engine::attend_given(
        o, q, cache.shape(),
        [&](const auto& view, const auto& out) {
          engine::attend_call("attend_into", view, cache, sequences, out, parts...);
        },
        parts...);
}

ATTN_END_NAMESPACE
