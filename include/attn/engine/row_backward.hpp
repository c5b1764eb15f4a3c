// SPDX-License-Identifier: Apache-2.0
// The backward pass of very few queries, which would leave most lanes of a panel empty: lanes lie
// along keys or features, as in decoding, and K and V are read where they lie.
//
//     S = scale Q K^T    P = exp(S - L)    dP = dO V^T    D = rows of O dO    dS = P (dP - D)
//     dQ = scale dS K    dK = scale dS^T Q    dV = P^T dO
//
// One walk over tiles of keys: each number of K and V is read while it is in the cache, each of dK
// and dV written once. Only for the softmax of scaled products without modifiers, masked or not.
// 10 n_q n_k d flops.
#pragma once

#include <algorithm>
#include <cstddef>
#include <type_traits>

#include <attn/config.hpp>
#include <attn/engine/convert.hpp>
#include <attn/engine/decode_rows.hpp>
#include <attn/engine/packet_math.hpp>
#include <attn/engine/panel.hpp>
#include <attn/engine/program.hpp>
#include <attn/engine/row_kernel.hpp>
#include <attn/engine/tile_walk.hpp>
#include <attn/tensor_view.hpp>
#include <attn/workspace.hpp>

ATTN_BEGIN_NAMESPACE
namespace engine {

/// Up to so many queries it was measured to win over small heads, and over tiles.
template <class A>
constexpr Index most_row_queries(bool small) {
  return std::max<Index>(Pack<A>::width / (small ? 4 : 2), 1);
}

/// Numbers of a matrix and the steps between its rows and columns.
template <class T>
struct Strided {
  T* data;
  Index row_step;
  Index col_step;
};

/// to(r, c) = sum of a(i, r) x(i, c) over i < depth. Rows of A and X have whole packs.
template <class Depth, class A, class T>
ATTN_NOINLINE void write_mixtures(Depth depth, const ScratchRows<A>& a, Index rows,
                                  const ScratchRows<A>& x, Index cols, const Strided<T>& to) {
  for (Index r = 0; r < rows; ++r)
    for (Index c = 0; c < cols; c += Pack<A>::width) {
      Pack<A> sum(0);
      for (Index i = 0; i < depth; ++i)
        sum = multiply_add(Pack<A>::broadcast(a.row(i) + r), Pack<A>::load(x.row(i) + c), sum);
      T* const place = to.data + r * to.row_step + c * to.col_step;
      if (to.col_step == 1) {
        store_first_as(sum, place, cols - c);
      } else {
        A lanes[Pack<A>::width];
        sum.store(lanes);
        scatter(lanes, std::min(Pack<A>::width, cols - c), place, to.col_step);
      }
    }
}

/// The same, one row being the most usual and worth a loop of its own.
template <class A, class T>
void write_outer_product(Index depth, const ScratchRows<A>& a, Index rows, const ScratchRows<A>& x,
                         Index cols, const Strided<T>& to) {
  if (depth == 1)
    write_mixtures(std::integral_constant<Index, 1>(), a, rows, x, cols, to);
  else
    write_mixtures(depth, a, rows, x, cols, to);
}

/// Scratch of one worker: rows of queries.
template <class T>
struct RowBackwardScratch {
  using A = Accumulator<T>;
  static constexpr Index most_keys = 128;  ///< of a tile

  ScratchRows<A> q;
  ScratchRows<A> scaled_q;
  ScratchRows<A> d_output;
  ScratchRows<A> output;
  ScratchRows<A> scores;    ///< S of a tile
  ScratchRows<A> weights;   ///< P likewise
  ScratchRows<A> d_scores;  ///< dP, then dS times the scale
  A* means;                 ///< D
  T* keys;                  ///< of a tile, where they can't be used in place
  T* values;

  RowBackwardScratch(Arena& arena, const Inputs<T>& in) {
    const Index n_q = in.n_q(), d = in.q.features(), d_v = in.v.features();
    const auto take = [&, rows = blocked_rows(n_q)](Index length) {
      return ScratchRows<A>{arena.take<A>(rows * row_stride<A>(length)), row_stride<A>(length)};
    };
    q = take(d);
    scaled_q = take(d);
    d_output = take(d_v);
    output = take(d_v);
    const Index tile = std::min(most_keys, in.n_k());
    for (ScratchRows<A>* pairs : {&scores, &weights, &d_scores}) *pairs = take(tile);
    means = arena.take<A>(n_q);
    using Operand = DecodeOperand<TensorView<const T>>;
    keys = arena.take<T>(Operand::buffer_size(in.k, fewest_columns, tile));
    values = arena.take<T>(Operand::buffer_size(in.v, fewest_columns, tile));
  }
};

/// Keys of one task, by the number of keys alone.
inline constexpr Index row_range = 4096;

/// One head and range of its keys.
template <class T, class Program>
class RowHeadBackward {
 public:
  using A = Accumulator<T>;
  using P = Pack<A>;
  using Scratch = RowBackwardScratch<T>;

  RowHeadBackward(const Inputs<T>& in, const Program& program, const BackwardViews<T, A>& views,
                  Index b, Index h, const Scratch& scratch, const ScratchRows<A>& d_query)
      : in_(in),
        program_(program),
        views_(views),
        batch_(b),
        head_(h),
        rows_(blocked_rows(in.n_q())),
        keys_(in.k, b, h, fewest_columns, scratch.keys),
        values_(in.v, b, h, fewest_columns, scratch.values),
        d_key_(views.d_key, b, h),
        d_value_(views.d_value, b, h),
        scratch_(scratch),
        d_query_(d_query) {}

  /// Writes dK and dV of keys first .. last-1 and their part of dQ; returns that of the gradient of
  /// the scale.
  A run(Index first, Index last, A scale) const {
    const ScratchRows<A>& q = scratch_.q;
    load(in_.q, q);
    for (Index k = 0; k < rows_ * q.stride; k += P::width)
      (P::load(q.data + k) * P(scale)).store(scratch_.scaled_q.data + k);
    load(views_.d_output, scratch_.d_output);
    load(views_.output, scratch_.output);
    for (Index i = 0; i < in_.n_q(); ++i) scratch_.means[i] = mean_of(i);
    set_zero(d_query_);
    P products(0);
    for (; first < last; first += Scratch::most_keys) {
      const Index count = std::min(Scratch::most_keys, last - first);
      const Tile positions = program_.tile(batch_, head_, 0, in_.n_q(), first, count);
      const Verdict verdict = program_.verdict(positions);
      if (verdict == Verdict::empty)
        write_keys(first, count, 0, false);
      else
        products += differentiate(positions, verdict, first, count, scale);
    }
    return sum(products) / scale;
  }

 private:
  void set_zero(const ScratchRows<A>& rows) const {
    std::fill_n(rows.data, rows_ * rows.stride, A(0));
  }
  void load(const TensorView<const T>& view, const ScratchRows<A>& to) const {
    set_zero(to);
    for (Index i = 0; i < in_.n_q(); ++i)
      read_run(view.pointer(batch_, head_, i), view.strides[3], view.features(), to.row(i));
  }

  /// Takes in a tile of keys; returns its part of the scale's gradient.
  P differentiate(const Tile& positions, Verdict verdict, Index first, Index count, A scale) const {
    set_zero(scratch_.scores);
    set_zero(scratch_.d_scores);
    const StoredRows<T> keys = keys_.load(first, count);
    add(keys_, keys, scratch_.scaled_q, scratch_.scores, true);
    add(values_, values_.load(first, count), scratch_.d_output, scratch_.d_scores, true);
    const bool is_finite =
        all_finite(scratch_.scores, count) && all_finite(scratch_.d_scores, count);
    if (verdict == Verdict::mixed) hide(positions, count);
    const P products = find_d_scores(count, scale);
    if (!is_finite)
      add_visible(first, count);
    else if (keys.length > 0)
      add(keys_, keys, scratch_.d_scores, d_query_, false);
    write_keys(first, count, in_.n_q(), !is_finite);
    return products;
  }

  /// C += A B^T (`dots`) or C += A B. K and V are not fetched ahead: a tile stays in the cache.
  void add(const DecodeOperand<TensorView<const T>>& operand, const StoredRows<T>& b,
           const ScratchRows<A>& a, const ScratchRows<A>& c, bool dots) const {
    add_products(operand, b, a, in_.n_q(), c, dots, false, {});
  }

  /// Of so many keys.
  bool all_finite(const ScratchRows<A>& pairs, Index count) const {
    return engine::all_finite<A>(pairs.data, in_.n_q(), count, pairs.stride);
  }

  /// Scores of hidden keys become -inf.
  void hide(const Tile& positions, Index count) const {
    for (Index j = 0; j < count; ++j) {
      A hidden[P::width];
      program_.mask(P(0), program_.place(positions, 0, j), positions.extent, A(1)).store(hidden);
      for (Index i = 0; i < in_.n_q(); ++i)
        if (hidden[i] != A(0)) scratch_.scores.row(i)[j] = minus_infinity<A>;
    }
  }

  /// P, and dS times the scale in place of dP; zeros behind the last key.
  P find_d_scores(Index count, A scale) const {
    P products(0);
    for (Index i = 0; i < in_.n_q(); ++i) {
      const P l(views_.log_sum_exp(batch_, head_, i, 0)), mean(scratch_.means[i]);
      for (Index j = 0; j < count; j += P::width) {
        const P s = P::load(scratch_.scores.row(i) + j);
        const P dp = P::load(scratch_.d_scores.row(i) + j);
        const auto inside = P::first_and_up(A(j)) < P(A(count));
        const P p = select(inside, exp_of_difference<true>(s, l), P(0));
        const P ds = select(p == P(0), P(0), p * (dp - mean));
        products += select(p == P(0), P(0), ds * s);
        p.store(scratch_.weights.row(i) + j);
        (ds * P(scale)).store(scratch_.d_scores.row(i) + j);
      }
    }
    return products;
  }

  /// D of a query.
  A mean_of(Index i) const {
    P mean(0);
    for (Index c = 0; c < in_.v.features(); c += P::width)
      mean = multiply_add(P::load(scratch_.output.row(i) + c),
                          P::load(scratch_.d_output.row(i) + c), mean);
    return sum(mean);
  }

  /// dQ += dS K, where zeros keep out NaN and inf.
  ATTN_NOINLINE void add_visible(Index first, Index count) const {
    for (Index i = 0; i < in_.n_q(); ++i)
      for (Index j = 0; j < count; ++j)
        if (const A ds = scratch_.d_scores.row(i)[j]; ds != A(0))
          for (Index f = 0; f < in_.k.features(); ++f)
            d_query_.row(i)[f] += ds * keys_.template at<A>(first + j, f);
  }

  /// dK and dV of a tile, from so many queries.
  void write_keys(Index first, Index count, Index queries, bool careful) const {
    write(queries, scratch_.d_scores, scratch_.q, first, count, careful, d_key_);
    write(queries, scratch_.weights, scratch_.d_output, first, count, careful, d_value_);
  }

  /// The tokens of a tile are mixtures of rows of X, made along what lies side by side. `careful`:
  /// zeros keep out NaN and inf.
  void write(Index queries, const ScratchRows<A>& pairs, const ScratchRows<A>& x, Index first,
             Index count, bool careful, const Slice<T>& to) const {
    if (!to.data) return;
    T* const data = to.data + first * to.token_stride;
    if (careful)
      write_visible(queries, pairs, x, count, to, data);
    else if (to.token_stride == 1 && to.feature_stride != 1)
      write_outer_product<A, T>(queries, x, to.features, pairs, count,
                                {data, to.feature_stride, 1});
    else
      write_outer_product<A, T>(queries, pairs, count, x, to.features,
                                {data, to.token_stride, to.feature_stride});
  }
  ATTN_NOINLINE void write_visible(Index queries, const ScratchRows<A>& pairs,
                                   const ScratchRows<A>& x, Index count, const Slice<T>& to,
                                   T* data) const {
    for (Index j = 0; j < count; ++j)
      for (Index f = 0; f < to.features; ++f) {
        A sum(0);
        for (Index i = 0; i < queries; ++i)
          if (const A p = pairs.row(i)[j]; p != A(0)) sum += p * x.row(i)[f];
        data[j * to.token_stride + f * to.feature_stride] = static_cast<T>(sum);
      }
  }

  const Inputs<T>& in_;
  const Program& program_;
  const BackwardViews<T, A>& views_;
  Index batch_;
  Index head_;
  Index rows_;  ///< of scratch
  DecodeOperand<TensorView<const T>> keys_;
  DecodeOperand<TensorView<const T>> values_;
  Slice<T> d_key_;
  Slice<T> d_value_;
  const Scratch& scratch_;
  ScratchRows<A> d_query_;
};

/// Sums the parts of dQ of one head, one behind the other, and writes it to where it belongs.
template <class T, class A>
void write_query_gradient(const ScratchRows<A>& parts, Index ranges, Index part, Index queries,
                          const Slice<T>& to) {
  if (!to.data) return;
  for (Index range = 1; range < ranges; ++range)
    for (Index k = 0; k < part; ++k) parts.data[k] += parts.data[range * part + k];
  for (Index i = 0; i < queries; ++i)
    write_run(parts.row(i), to.features, to.data + i * to.token_stride, to.feature_stride);
}

/// A task is a range of the keys of one head; their parts are summed in order, whatever the
/// executor. Adds the gradient of the scale to `gradients`.
template <class T, class Program, class Executor, class Gradients>
ATTN_NOINLINE void run_row_backward(const Inputs<T>& in, const Program& program,
                                    Accumulator<T> scale, const Executor& executor,
                                    Workspace& workspace,
                                    const BackwardViews<T, Accumulator<T>>& views,
                                    Gradients& gradients) {
  using A = Accumulator<T>;
  const Index heads = in.q.heads(), all_heads = in.q.batches() * heads;
  const Index ranges = (in.n_k() + row_range - 1) / row_range, tasks = all_heads * ranges;
  const Index stride = row_stride<A>(in.q.features()), part = blocked_rows(in.n_q()) * stride;
  Arena measure;
  [[maybe_unused]] const RowBackwardScratch<T> sized(measure, in);
  workspace.prepare(executor.workers(tasks), measure.used());
  const std::size_t bytes = static_cast<std::size_t>(tasks * (part + 1)) * sizeof(A);
  alignas(scratch_alignment) std::byte on_stack[2048];  // a small call allocates nothing
  A* const parts =
      reinterpret_cast<A*>(bytes <= sizeof(on_stack) ? on_stack : workspace.sums(bytes));
  A* const d_scales = parts + tasks * part;
  const auto write_query = [&](Index head) {
    const Index b = quotient(head, heads);
    write_query_gradient(ScratchRows<A>{parts + head * ranges * part, stride}, ranges, part,
                         in.n_q(), Slice<T>(views.d_query, b, head - b * heads));
  };
  executor.run(tasks, [&](Index task, Index worker) {
    Arena arena(workspace.worker(worker));
    const RowBackwardScratch<T> scratch(arena, in);
    const Index head = quotient(task, ranges), b = quotient(head, heads);
    const Index first = (task - head * ranges) * row_range;
    const RowHeadBackward<T, Program> backward(in, program, views, b, head - b * heads, scratch,
                                               {parts + task * part, stride});
    d_scales[task] = backward.run(first, std::min(first + row_range, in.n_k()), scale);
    if (ranges == 1) write_query(head);
  });
  for (Index head = 0; ranges > 1 && head < all_heads; ++head) write_query(head);
  if constexpr (requires { gradients.scale; })
    for (Index task = 0; task < tasks; ++task) gradients.scale += d_scales[task];
}

}  // namespace engine
ATTN_END_NAMESPACE
