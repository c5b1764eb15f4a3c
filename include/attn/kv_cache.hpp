// SPDX-License-Identifier: Apache-2.0
// Keys and values of the tokens so far, kept for the tokens to come.
//
//     append(K, V)          attend(Q, cache, parts...): Q's rows are the newest tokens
//
//     memory of a head   [evicted | first .. size-1 | free]   each token a row, in order
//
// With a window the oldest tokens are evicted; when the memory ends, those that are left move to
// its front, once in as many appended tokens, so that they are one run of rows at all times.
// Many sequences with common beginnings: paged_kv_cache.hpp.
#pragma once

#include <algorithm>
#include <type_traits>
#include <utility>

#include <attn/check.hpp>
#include <attn/concepts.hpp>
#include <attn/config.hpp>
#include <attn/engine/cache_call.hpp>
#include <attn/engine/cache_rows.hpp>
#include <attn/engine/cached_tokens.hpp>
#include <attn/engine/front.hpp>
#include <attn/mask.hpp>
#include <attn/tensor_view.hpp>

ATTN_BEGIN_NAMESPACE

struct KeyValueCacheOptions {
  Integer batch = 1;
  Integer num_kv_heads = 1;
  Integer head_dim = 0;
  Integer value_dim = 0;  ///< 0: as head_dim
  Integer capacity = 0;   ///< tokens that fit; 0: as many as there will be
  Integer window = 0;     ///< tokens that a query sees, itself among them; 0: all
  Integer rollback = 0;   ///< with a window: tokens before the last append that can be taken back
};

/// Keys and values of one batch of sequences, in Storage, for queries of T.
///
///     append       {batch, kv head, n, feature}, or for one batch n rows with heads side by side
///     attend       below: attention of the newest tokens over all of them
///
/// Storage   T, or narrower: float, Eigen::half, Eigen::bfloat16, or std::int8_t with a scale for
///           each token and head; arithmetic is in T's accumulator type
/// Accuracy  stored numbers are rounded to Storage; in std::int8_t each is off by at most
///           max|x| / 253 over the features of its token and head
/// Window    keeps the `window - 1 + rollback` newest tokens and those of the last append, so that
///           each query of that append sees its own window; memory for twice as many
/// Positions count from the first token ever appended, whatever has been evicted since
/// Cost      append: one pass over the new tokens, amortised; a fixed capacity is allocated at once
/// Throws    ShapeError, ValueError (a full cache, bad options) before anything changes
/// Source    Beltagy et al. 2020, section 3.1 (windows)
template <class T, class Storage = T>
class KeyValueCache {
  static_assert(engine::diagnose_cache<T, Storage>());

 public:
  using Scalar = T;
  using Tokens = std::conditional_t<engine::is_quantised<Storage>, engine::CachedTokens<Storage>,
                                    TensorView<const Storage>>;

  explicit KeyValueCache(KeyValueCacheOptions options) : options_(options) {
    if (options_.value_dim == 0) options_.value_dim = options_.head_dim;
    engine::check_cache_shape(shape());
    check_limits();
    keys_ = engine::CacheRows<Storage>(0, options_.head_dim);
    values_ = engine::CacheRows<Storage>(0, options_.value_dim);
    if (options_.capacity > 0) relocate(options_.capacity, 0, 0);
  }

  const KeyValueCacheOptions& options() const { return options_; }
  /// Tokens appended and not taken back: the position of the next one.
  Index size() const { return size_; }
  /// The position of the oldest token that has not been evicted.
  Index first() const { return first_; }
  /// Memory that it takes, in bytes.
  Index bytes() const { return keys_.bytes() + values_.bytes(); }

  /// Takes in n tokens: K n x (kv heads * head_dim), V n x (kv heads * value_dim), or views.
  template <class K, class V>
  void append(const K& K_, const V& V_) {
    engine::with_new_tokens<T>(K_, V_, shape(), [&](const auto& k, const auto& v) {
      check_apart("K", k);
      check_apart("V", v);
      make_room(k.tokens());
      const auto row_of = [&](Index b, Index h, Index t) { return row(b, h) + size_ - first_ + t; };
      engine::store_tokens(k, keys_, row_of);
      engine::store_tokens(v, values_, row_of);
      size_ += k.tokens();
    });
  }

  /// Takes the newest tokens back until `size` are left. With a window: those of the last append
  /// and `rollback` more, since older ones would need what has been evicted.
  void truncate(Index size) {
    if (size < 0 || size > size_)
      engine::raise_value({"KeyValueCache::truncate: ", size, " tokens are to be left of ", size_,
                           "; tokens can only be taken back"});
    const Index window = options_.window;
    if (window > 0 && std::max<Index>(size - window + 1, 0) < first_)
      engine::raise_value({"KeyValueCache::truncate: ", size, " tokens are to be left of ", size_,
                           ", and the token after them sees ", window, ", of which those before ",
                           first_, " have been evicted; a larger rollback keeps them"});
    size_ = size;
  }
  /// Forgets all tokens and keeps the memory.
  void clear() { size_ = first_ = begin_ = 0; }

  /// The tokens that are kept: {batch, kv head, size() - first(), feature}. They stay where they
  /// are until the next append.
  TensorView<const Storage> keys() const requires(!engine::is_quantised<Storage>) {
    return newest(keys_, size_ - first_);
  }
  TensorView<const Storage> values() const requires(!engine::is_quantised<Storage>) {
    return newest(values_, size_ - first_);
  }

  /// Private to the engine: what n_q newest tokens see.
  struct Visible {
    Tokens keys;
    Tokens values;
    PositionOffset offset;
    SlidingWindow window;
  };
  Visible visible(const char* name, Index n_q) const {
    engine::check_newest(name, n_q, size_);
    const Index window = options_.window;
    const Index oldest = window > 0 ? std::max<Index>(size_ - n_q - window + 1, 0) : 0;
    if (oldest < first_)
      engine::raise_value({name, ": the first of ", n_q, " queries sees back to position ", oldest,
                           " and the keys before ", first_,
                           " have been evicted; ask for the tokens of the last append"});
    const Index count = size_ - oldest;
    return {newest(keys_, count),
            newest(values_, count),
            {.query = size_ - n_q, .key = oldest},
            {.left = window - 1}};
  }
  engine::CacheShape shape() const {
    return {"KeyValueCache", options_.batch, options_.num_kv_heads, options_.head_dim,
            options_.value_dim};
  }

 private:
  void check_limits() const {
    const Index capacity = options_.capacity, window = options_.window;
    const Index rollback = options_.rollback;
    if (capacity < 0 || window < 0 || rollback < 0)
      engine::raise_value({"KeyValueCache: capacity is ", capacity, ", window ", window,
                           " and rollback ", rollback, "; all must be 0 or more"});
    if (capacity > 0 && window > 0)
      engine::raise_value({"KeyValueCache: capacity is ", capacity, " and window ", window,
                           "; a window evicts by itself, so only one of them can be given"});
    if (rollback > 0 && window == 0)
      engine::raise_value({"KeyValueCache: rollback is ", rollback,
                           " and there is no window; without one every token can be taken back"});
    engine::check_cache_memory(shape(), std::max(capacity, window + rollback));
  }

  /// New tokens must not lie in memory that an append moves or frees.
  template <class View>
  void check_apart(const char* which, const View& tokens) const {
    const auto all = [&](const engine::CacheRows<Storage>& rows) {
      return newest(rows, size_ - first_);
    };
    if (engine::overlap(tokens, all(keys_)) || engine::overlap(tokens, all(values_)))
      engine::raise_value({"KeyValueCache: ", which,
                           " lies in the cache's own memory, which an append may move; copy it "
                           "first"});
  }

  Index row(Index b, Index h) const {
    return (b * options_.num_kv_heads + h) * allocated_ + begin_;
  }

  /// The newest `count` tokens.
  Tokens newest(const engine::CacheRows<Storage>& rows, Index count) const {
    const Index heads = options_.num_kv_heads, width = rows.width();
    const Index start = begin_ + size_ - first_ - count;
    if constexpr (engine::is_quantised<Storage>)
      return {rows.numbers(), rows.scales(),      {options_.batch, heads, count, width},
              start,          heads * allocated_, allocated_};
    else
      return {rows.numbers() + start * width,
              {options_.batch, heads, count, width},
              {heads * allocated_ * width, allocated_ * width, width, 1}};
  }

  /// Evicts what n more tokens leave no room for, and makes that room. May throw, and then nothing
  /// has changed.
  void make_room(Index n) {
    if (n == 0) return;
    const Index capacity = options_.capacity, window = options_.window;
    if (capacity > 0 && n > capacity - size_)
      engine::raise_value({"KeyValueCache: ", n, " tokens are to be appended to ", size_,
                           " and the capacity is ", capacity,
                           "; truncate or clear it, or leave the capacity out"});
    const Index kept = size_ - first_;
    const Index left = window > 0 ? std::min(kept, window - 1 + options_.rollback) : kept;
    const Index start = begin_ + kept - left;
    if (start + left + n <= allocated_) {
      begin_ = start;
    } else if (start >= left && left + n <= allocated_) {
      move_to(keys_, keys_, start, left, allocated_);
      move_to(values_, values_, start, left, allocated_);
      begin_ = 0;
    } else {
      engine::check_cache_memory(shape(), left + n);
      relocate(std::max(2 * allocated_, left + n), start, left);
    }
    first_ = size_ - left;
  }

  /// Moves the `count` tokens from row `start` on to the front of memory for `tokens` a head.
  void relocate(Index tokens, Index start, Index count) {
    const Index rows = options_.batch * options_.num_kv_heads * tokens;
    engine::CacheRows<Storage> keys(rows, options_.head_dim), values(rows, options_.value_dim);
    move_to(keys_, keys, start, count, tokens);
    move_to(values_, values, start, count, tokens);
    keys_ = std::move(keys);
    values_ = std::move(values);
    allocated_ = tokens;
    begin_ = 0;
  }

  /// `count` tokens from row `start` of each head on to the front of those in `to`.
  void move_to(const engine::CacheRows<Storage>& from, engine::CacheRows<Storage>& to, Index start,
               Index count, Index to_rows) const {
    for (Index h = 0; count > 0 && h < options_.batch * options_.num_kv_heads; ++h)
      to.copy(from, h * allocated_ + start, count, h * to_rows);
  }

  KeyValueCacheOptions options_;
  engine::CacheRows<Storage> keys_;
  engine::CacheRows<Storage> values_;
  Index allocated_ = 0;  ///< rows of a head
  Index begin_ = 0;      ///< the row of position first_
  Index first_ = 0;
  Index size_ = 0;
};

namespace engine {

/// Attention of queries, which are the newest tokens, over a cache.
template <class T, class S, class... Parts>
void attend_call(const char* name, const TensorView<const T>& q, const KeyValueCache<T, S>& cache,
                 const std::type_identity_t<Outputs<T, Accumulator<T>>>& out, Parts&... parts) {
  using Tokens = typename KeyValueCache<T, S>::Tokens;
  const auto seen = cache.visible(name, q.tokens());
  const Inputs<T, Tokens> in{q, seen.keys, seen.values};
  forward_call(name, in, out, parts..., seen.window, seen.offset);
}

/// Tokens appended to a cache, which are taken back unless they are to be kept.
template <class Cache>
class Appended {
 public:
  template <class K, class V>
  Appended(Cache& cache, const K& k, const V& v) : cache_(cache), size_before_(cache.size()) {
    cache.append(k, v);
  }
  Appended(const Appended&) = delete;
  Appended& operator=(const Appended&) = delete;
  ~Appended() {
    if (!is_kept_) cache_.truncate(size_before_);
  }
  void keep() { is_kept_ = true; }

 private:
  Cache& cache_;
  Index size_before_;
  bool is_kept_ = false;
};

}  // namespace engine

/// Attention of the newest tokens over everything in the cache, their own keys and values included.
///
/// Shapes     Q  n_q x (heads * d): the rows are the positions size() - n_q .. size() - 1; give
///               Heads{n} where a query head is not as wide as a key. Returns n_q x (heads * d_v)
/// Parts      as in attention; positions are those of the whole sequence, so that Causal{} means
///            what it means there and a bias or ids are those of the whole sequence. bottom_right
///            has no place (ValueError): Causal{} is already aligned. A window of the cache is a
///            mask of its own
/// Equals     the last n_q rows of attention over all tokens at once, to rounding
/// Throws     ShapeError, ValueError before any arithmetic
template <class Q, class T, class S, class... Parts>
auto attend(const Q& q, const KeyValueCache<T, S>& cache, Parts&&... parts) {
  constexpr bool valid =
      engine::diagnose_cache_call<T, Q, Parts...>() && engine::diagnose_matrix<Q>();
  if constexpr (valid)
    return engine::attend_matrix(
        q, cache.shape(),
        [&](const auto& view, const auto& out) {
          engine::attend_call("attend", view, cache, out, parts...);
        },
        parts...);
}

/// The same into memory of the caller's: matrices, or TensorViews {batch, head, token, feature}.
template <class O, class Q, class T, class S, class... Parts>
void attend_into(O&& o, const Q& q, const KeyValueCache<T, S>& cache, Parts&&... parts) {
  constexpr bool valid =
      engine::diagnose_output<O>() && engine::diagnose_cache_call<T, Q, Parts...>();
  if constexpr (valid)
    engine::attend_given(
        o, q, cache.shape(),
        [&](const auto& view, const auto& out) {
          engine::attend_call("attend_into", view, cache, out, parts...);
        },
        parts...);
}

ATTN_END_NAMESPACE
