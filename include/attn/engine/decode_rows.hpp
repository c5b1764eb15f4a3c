// SPDX-License-Identifier: Apache-2.0
// What decoding works on: its plan, the running statistics of its query rows, and keys and values
// as rows of memory.
//
//     m' = max(m, s_j),  l' = l exp(m - m') + sum_j exp(s_j - m'),  O' = O exp(m - m') + ...
//
// Chunks of keys merge by the same rule. m starts at the lowest finite number, never at -inf (see
// online_softmax.hpp). Next: decode.hpp.
// Source: Milakov & Gimelshein 2018, algorithm 3; Dao et al. 2023 (Flash-Decoding).
#pragma once

#include <algorithm>
#include <limits>

#include <attn/config.hpp>
#include <attn/engine/convert.hpp>
#include <attn/engine/packet_math.hpp>
#include <attn/engine/panel.hpp>
#include <attn/engine/program.hpp>
#include <attn/engine/row_kernel.hpp>
#include <attn/engine/tile_walk.hpp>
#include <attn/tensor_view.hpp>
#include <attn/workspace.hpp>

ATTN_BEGIN_NAMESPACE
namespace engine {

/// How the work is cut into tasks: (batch, heads of one key head, chunk of keys).
struct DecodePlan {
  static constexpr Index tile = 128;  ///< keys: K and V of 128 features take 128 KiB in float
  Index n_q, n_k, batches, key_heads, group;
  Index heads;   ///< query heads that a task takes together
  Index shares;  ///< tasks that the heads of one key head are shared among
  Index chunk;   ///< keys, whole tiles
  Index chunks;

  template <class T, class Tokens>
  explicit DecodePlan(const Inputs<T, Tokens>& in)
      : n_q(in.n_q()),
        n_k(in.n_k()),
        batches(in.q.batches()),
        key_heads(in.k.heads()),
        group(key_heads > 0 ? quotient(in.q.heads(), key_heads) : 0) {
    constexpr Index most_rows = 32, least_chunk = 1024, most_chunks = 256;
    heads = group * n_q <= most_rows ? group : std::max<Index>(most_rows / n_q, 1);
    shares = group > heads ? (group + heads - 1) / heads : 1;
    // By the keys alone: a head of many is computed as if it were the only one.
    const Index share = n_k / most_chunks;
    chunk = (std::max(share, least_chunk) + least_chunk - 1) / least_chunk * least_chunk;
    chunks = n_k > chunk ? (n_k + chunk - 1) / chunk : 1;
  }

  Index walks() const { return n_q == 0 ? 0 : batches * key_heads * shares; }
  Index rows() const { return blocked_rows(heads * n_q); }
  Index tile_keys() const { return std::min(tile, n_k); }
};

/// Heads `first_head` .. of one batch, which read key head `key_head`.
struct DecodeWalk {
  Index batch;
  Index key_head;
  Index first_head;
  Index heads;

  DecodeWalk(const DecodePlan& plan, Index walk) {
    const Index head_walk = quotient(walk, plan.shares);
    const Index share = walk - head_walk * plan.shares;
    batch = quotient(head_walk, plan.key_heads);
    key_head = head_walk - batch * plan.key_heads;
    first_head = key_head * plan.group + share * plan.heads;
    heads = std::min(plan.heads, plan.group - share * plan.heads);
  }
};

/// The tiles of keys that query rows of a walk see.
template <class Program>
struct DecodeTiles {
  const Program& program;
  DecodeWalk walk;
  Index n_q;

  Tile positions(Index g, Index first, Index count) const {
    return program.tile(walk.batch, walk.first_head + g, 0, n_q, first, count);
  }
  /// Of all heads of the walk together.
  Verdict verdict(Index first, Index count) const {
    Verdict least = Verdict::full, most = Verdict::empty;
    if constexpr (Program::has_masks)
      for (Index g = 0; g < walk.heads; ++g) {
        const Verdict v = program.verdict(positions(g, first, count));
        least = std::min(least, v);
        most = std::max(most, v);
      }
    return !Program::has_masks || least == most ? least : Verdict::mixed;
  }

  /// f(first, count, verdict) for the tiles of these keys that are not empty. Masks are asked about
  /// large ranges first, so that a window over many keys costs its own width.
  template <class F>
  void for_each(Index first, Index count, F&& f) const {
    if (count == 0) return;
    const Verdict all = verdict(first, count);
    if (all == Verdict::empty) return;
    Index piece = DecodePlan::tile;
    if (all == Verdict::full || count <= piece) {
      for (Index j = first; j < first + count; j += piece)
        f(j, std::min(piece, first + count - j), all);
      return;
    }
    while (piece * 16 < count) piece *= 16;
    for (Index j = first; j < first + count; j += piece)
      for_each(j, std::min(piece, first + count - j), f);
  }
};

/// Maximum, sum and output of every row over the keys seen so far.
template <class A>
struct DecodeRows {
  A* maximum;
  A* sum;
  ScratchRows<A> output;

  DecodeRows(Arena& arena, Index rows, Index d_v)
      : maximum(arena.take<A>(rows)),
        sum(arena.take<A>(rows)),
        output{arena.take<A>(rows * row_stride<A>(d_v)), row_stride<A>(d_v)} {}

  void start(Index rows) const {
    std::fill_n(maximum, rows, std::numeric_limits<A>::lowest());
    std::fill_n(sum, rows, A(0));
    std::fill_n(output.data, rows * output.stride, A(0));
  }

  void rescale(Index r, const Pack<A>& factor) const {
    A* o = output.row(r);
    for (Index k = 0; k < output.stride; k += Pack<A>::width)
      (Pack<A>::load(o + k) * factor).store(o + k);
  }

  /// Takes `keys` scores of row r in, which become exp(s - m); zeros stand behind them. Returns
  /// the least score.
  Pack<A> absorb(Index r, A* s, Index keys, const Pack<A>& least_so_far) const {
    constexpr Index width = Pack<A>::width;
    const Pack<A> infinity(std::numeric_limits<A>::infinity());
    const Index whole = keys / width * width;
    const PackMask<A> in_rest = Pack<A>::first_and_up(A(0)) < Pack<A>(keys - whole);
    Pack<A> most(maximum[r]), least = least_so_far;
    for (Index j = 0; j < whole; j += width) {
      const Pack<A> x = Pack<A>::load(s + j);
      most = larger(most, x);
      least = min(least, x);
    }
    if (whole < keys) {
      const Pack<A> x = Pack<A>::load(s + whole);
      most = larger(most, select(in_rest, x, Pack<A>(maximum[r])));
      least = min(least, select(in_rest, x, infinity));
    }
    const A before = maximum[r], now = Eigen::internal::predux_max(most.raw);
    if (sum[r] != A(0) && before != now) {
      const Pack<A> factor = exp_of_difference<false>(Pack<A>(before), Pack<A>(now));
      rescale(r, factor);
      sum[r] *= Eigen::internal::pfirst(factor.raw);
    }
    maximum[r] = now;
    const Pack<A> m(now);
    Pack<A> total(0);
    for (Index j = 0; j < whole; j += width) {
      const Pack<A> e = exp_of_difference<true>(Pack<A>::load(s + j), m);
      total += e;
      e.store(s + j);
    }
    if (whole < keys) {
      const Pack<A> e = exp_of_difference<true>(Pack<A>::load(s + whole), m);
      const Pack<A> inside = select(in_rest, e, Pack<A>(0));
      total += inside;
      inside.store(s + whole);
    }
    sum[r] += engine::sum(total);
    return least;
  }

  /// Takes in what another task has seen.
  void merge(const DecodeRows& other, Index rows) const {
    for (Index r = 0; r < rows; ++r) {
      if (other.sum[r] == A(0)) continue;
      const A most = std::max(maximum[r], other.maximum[r]);
      const Pack<A> m(most);
      const Pack<A> mine = exp_of_difference<false>(Pack<A>(maximum[r]), m);
      const Pack<A> its = exp_of_difference<false>(Pack<A>(other.maximum[r]), m);
      A *to = output.row(r), *from = other.output.row(r);
      for (Index k = 0; k < output.stride; k += Pack<A>::width)
        multiply_add(Pack<A>::load(to + k), mine, Pack<A>::load(from + k) * its).store(to + k);
      sum[r] = sum[r] * Eigen::internal::pfirst(mine.raw) +
               other.sum[r] * Eigen::internal::pfirst(its.raw);
      maximum[r] = most;
    }
  }
};

/// The weights of a walk's query rows, in the caller's memory, where their scores are kept until
/// maxima and sums are known.
template <class A>
struct KeptScores {
  TensorView<A> weights;  ///< {batch, head, n_q, n_k}
  DecodeWalk walk;
  Index n_q;

  /// Hides keys first .. last-1, of which a walk leaves out what masks hide.
  void hide(Index first, Index last) const {
    const Index step = weights.strides[3];
    for (Index r = 0; r < walk.heads * n_q; ++r) {
      A* row = at(r, first);
      for (Index j = 0; j < last - first; ++j) row[j * step] = -std::numeric_limits<A>::infinity();
    }
  }
  void keep(const ScratchRows<A>& rows, Index first, Index count) const {
    for (Index r = 0; r < walk.heads * n_q; ++r)
      write_run(rows.row(r), count, at(r, first), weights.strides[3]);
  }
  void recall(const ScratchRows<A>& rows, Index first, Index count) const {
    for (Index r = 0; r < walk.heads * n_q; ++r)
      read_run(at(r, first), weights.strides[3], count, rows.row(r));
  }

 private:
  A* at(Index r, Index j) const {
    const Index head = quotient(r, n_q);
    return weights.pointer(walk.batch, walk.first_head + head, r - head * n_q) +
           j * weights.strides[3];
  }
};

/// Fewer keys than that, in columns, are gathered: dots so short are all reduction.
inline constexpr Index fewest_columns = 16;

/// The tokens of one head as stored rows: keys by rows or, where tokens are neighbours, features by
/// rows; tokens of any other layout are gathered a tile at a time.
template <class Tokens>
class DecodeOperand;

template <class S>
class DecodeOperand<TensorView<const S>> {
 public:
  /// `least_tokens`: fewer neighbouring tokens than that are gathered.
  DecodeOperand(const TensorView<const S>& view, Index b, Index h, Index least_tokens, S* buffer)
      : tokens_(view, b, h), order_(order_of(view, least_tokens)), buffer_(buffer) {}

  static Index buffer_size(const TensorView<const S>& view, Index least_tokens, Index tile) {
    return order_of(view, least_tokens) == Order::gathered ? tile * view.features() : 0;
  }
  bool by_columns() const { return order_ == Order::by_features; }
  Index features() const { return tokens_.features; }

  /// How many of these tokens `load` hands out at once: all.
  static Index run(Index, Index count) { return count; }

  /// Where the tokens lie that `load` would hand out; nothing where they are gathered.
  StoredRows<S> place(Index first, Index count) const {
    if (features() == 0) return {nullptr, count, 0, 0};  // of nothing there may be no address
    const S* data = tokens_.data + first * tokens_.token_stride;
    if (order_ == Order::by_tokens) return {data, count, tokens_.features, tokens_.token_stride};
    if (order_ == Order::by_features)
      return {data, tokens_.features, count, tokens_.feature_stride};
    return {nullptr, 0, 0, 0};
  }
  StoredRows<S> load(Index first, Index count) const {
    if (order_ != Order::gathered || features() == 0) return place(first, count);
    for (Index j = 0; j < count; ++j)
      gather(tokens_.data + (first + j) * tokens_.token_stride, tokens_.feature_stride,
             tokens_.features, buffer_ + j * tokens_.features);
    return {buffer_, count, tokens_.features, tokens_.features};
  }

  /// What stored numbers must be multiplied by, token by token: nothing.
  static const float* scales(Index) { return nullptr; }

  template <class A>
  bool all_finite(Index first, Index count) const {
    const StoredRows<S> rows = load(first, count);
    return engine::all_finite<A>(rows.data, rows.count, rows.length, rows.stride);
  }
  template <class A>
  A at(Index token, Index feature) const {
    return static_cast<A>(
        tokens_.data[token * tokens_.token_stride + feature * tokens_.feature_stride]);
  }

 private:
  enum class Order { by_tokens, by_features, gathered };

  static Order order_of(const TensorView<const S>& view, Index least_tokens) {
    if (view.strides[3] == 1) return Order::by_tokens;
    const bool by_features = view.strides[2] == 1 && view.tokens() >= least_tokens;
    return by_features ? Order::by_features : Order::gathered;
  }

  Slice<const S> tokens_;
  Order order_;
  S* buffer_;
};

/// C += A B^T (`dots`) or C += A B for tokens B in one piece, stored either way; `rows` rows of A.
/// `next`: what will be read after B.
template <class A, class Tokens, class S>
void add_products(const DecodeOperand<Tokens>& operand, const StoredRows<S>& b,
                  const ScratchRows<A>& a, Index rows, const ScratchRows<A>& c, bool dots,
                  bool is_far, const StoredRows<S>& next) {
  if (dots != operand.by_columns())
    add_dots(a, rows, b, c, is_far, next);
  else
    add_mixtures(a, rows, b, c, is_far, next);
}

}  // namespace engine
ATTN_END_NAMESPACE
