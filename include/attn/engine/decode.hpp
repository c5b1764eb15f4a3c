// SPDX-License-Identifier: Apache-2.0
// Decoding: few queries against many keys, where reading K and V is the work.
//
//     tile of keys -> S = Q K^T -> modifiers, masks -> exp(S - m) and sums -> O += P V
//
// Lanes lie along the features (see row_kernel.hpp). All query rows that share a key-value head,
// `heads x n_q`, take part in one walk, so each row of K and V is read once for all of them: 4
// flops a number and query row. Rows and columns are read in place, whichever are contiguous, in
// their storage type. Keys are split into chunks, a task each, whose maxima, sums and outputs are
// merged in their order; the chunks follow from the sizes alone, so threads change no bit. Where
// the weights are asked for, scores wait in their place until maxima and sums are known.
// Source: Dao et al. 2023, Flash-Decoding; Ainslie et al. 2023 (grouped queries).
#pragma once

#include <algorithm>
#include <cstddef>
#include <limits>
#include <type_traits>
#include <utility>

#include <attn/config.hpp>
#include <attn/engine/convert.hpp>
#include <attn/engine/decode_rows.hpp>
#include <attn/engine/panel.hpp>
#include <attn/engine/program.hpp>
#include <attn/engine/row_kernel.hpp>
#include <attn/engine/score_tile.hpp>
#include <attn/engine/tile_walk.hpp>
#include <attn/normalizer.hpp>
#include <attn/tensor_view.hpp>
#include <attn/workspace.hpp>

ATTN_BEGIN_NAMESPACE
namespace engine {

/// Whether these parts can be decoded: softmax whose weights may be modified before their sum is
/// known, and scores that are products of (transformed) queries with keys as they are.
template <class Program, class ScoreTile>
inline constexpr bool can_decode = (Program::NormalizerPart::statistic ==
                                    RowStatistic::sum_of_exp) &&
                                   (Program::probs_are_linear) && (ScoreTile::is_product) &&
                                   (!ScoreTile::projects_keys);

/// Whether these sizes are better decoded than tiled: packs of queries would be mostly empty, or
/// the keys are so many that reading them is the work.
template <class T, class Tokens>
bool decodes(const Inputs<T, Tokens>& in) {
  constexpr Index few = 3, some = 16, wide = 32, many_keys = 512;
  if (in.n_q() <= few) return true;
  if (in.n_k() >= many_keys) return in.n_q() <= some;
  return in.n_q() <= 2 * few && in.q.features() >= wide;
}

/// What the tasks of a decoding call share; any other call with these members will do.
template <class T, class ProgramT, class ScoreTile, class Tokens = TensorView<const T>>
struct DecodeCall {
  using A = typename ProgramT::Accumulator;
  const Inputs<T, Tokens>& in;
  const ProgramT& program;
  ScoreTile score;
};

/// f(call) with the score function bound to the accumulator type; in the workspace's memory where
/// its parameters need some.
template <class T, class Tokens, class Program, class F>
void with_decode_call(const Inputs<T, Tokens>& in, const Program& program, Workspace& workspace,
                      F&& f) {
  using A = typename Program::Accumulator;
  using ScoreTile = decltype(bind_score<A>(program.score, in.q.features(), std::declval<Arena&>()));
  Arena measure;
  const ScoreTile bound = bind_score<A>(program.score, in.q.features(), measure);
  if (measure.used() == 0) return f(DecodeCall<T, Program, ScoreTile, Tokens>{in, program, bound});
  Arena arena(workspace.shared(measure.used()));
  f(DecodeCall<T, Program, ScoreTile, Tokens>{
      in, program, bind_score<A>(program.score, in.q.features(), arena)});
}

/// Scratch of one worker.
template <class A, class Tokens>
struct DecodeScratch {
  using S = typename Tokens::Scalar;
  using Operand = DecodeOperand<Tokens>;

  ScratchRows<A> q;  ///< transformed and scaled
  ScratchRows<A> s;
  A* visible;    ///< 1 where a score is not hidden, once weights no longer tell
  A* raw_q;      ///< of one head, before a projection
  A* projected;  ///< the same after it
  S* keys;
  S* values;

  template <class C>
  DecodeScratch(Arena& arena, const C& call, const DecodePlan& plan, const Tokens& k,
                const Tokens& v) {
    using Program = std::remove_cvref_t<decltype(call.program)>;
    using ScoreTile = std::remove_cvref_t<decltype(call.score)>;
    const Index rows = plan.rows(), d = call.in.q.features();
    const Index width = call.score.query_width(d, k.features());
    const Index projected_queries = ScoreTile::projects_queries ? plan.n_q : 0;
    q = {arena.take<A>(rows * row_stride<A>(width)), row_stride<A>(width)};
    s.stride = row_stride<A>(plan.tile_keys());
    s.data = arena.take<A>(rows * s.stride);
    visible = arena.take<A>(Program::prob_count > 0 ? rows * s.stride : 0);
    raw_q = arena.take<A>(projected_queries * d);
    projected = arena.take<A>(projected_queries * width);
    keys = arena.take<S>(Operand::buffer_size(k, 1, plan.tile_keys()));
    values = arena.take<S>(Operand::buffer_size(v, fewest_columns, plan.tile_keys()));
  }
};

/// One walk over keys, a chunk of them or all, which may be stored in another type than Q and O.
template <class C, class Tokens, class Out>
class Decoder {
 public:
  using A = typename C::A;
  using S = typename Tokens::Scalar;
  using Program = std::remove_cvref_t<decltype(std::declval<const C&>().program)>;
  using ScoreTile = std::remove_cvref_t<decltype(std::declval<const C&>().score)>;

  Decoder(const C& call, const DecodePlan& plan, const DecodeWalk& walk, const Tokens& k,
          const Tokens& v, const DecodeScratch<A, Tokens>& scratch, const DecodeRows<A>& rows,
          const Out& out)
      : call_(call),
        n_q_(plan.n_q),
        walk_(walk),
        tiles_{call.program, walk, plan.n_q},
        keys_(k, walk.batch, walk.key_head, 1, scratch.keys),
        values_(v, walk.batch, walk.key_head, fewest_columns, scratch.values),
        scratch_(scratch),
        rows_(rows),
        out_(out),
        count_(walk.heads * plan.n_q) {}

  /// Takes in keys first .. last-1.
  void run(Index first, Index last) {
    rows_.start(blocked_rows(count_));
    load_queries();
    if constexpr (has_weights<Out> && Program::has_masks) kept().hide(first, last);
    constexpr Index near_bytes = 256 * 1024;  // what a second-level cache is likely to hold
    const Index key_bytes = static_cast<Index>(sizeof(S)) * (keys_.features() + values_.features());
    is_far_ = (last - first) * key_bytes > near_bytes;
    tiles_.for_each(first, last - first, [&](Index tile, Index count, Verdict verdict) {
      take_in(tile, count, verdict, last);
    });
  }

  /// Takes in what another walk has seen of other keys.
  void merge(const DecodeRows<A>& other) { rows_.merge(other, count_); }

  /// Writes what has been seen, of all keys: outputs divided by their sums, log-sum-exp, weights.
  void write() {
    Index r = 0;
    for (Index h = walk_.first_head; h < walk_.first_head + walk_.heads; ++h)
      for (Index i = 0; i < n_q_; ++i, ++r) write_row(r, h, i);
    if constexpr (has_weights<Out>) write_weights();
  }

 private:
  A factor(Index r, Index h) const {
    return factor_of(call_.program.normalizer, rows_.maximum[r], rows_.sum[r], h);
  }

  void write_row(Index r, Index h, Index i) {
    if (out_.log_sum_exp.data)
      out_.log_sum_exp(walk_.batch, h, i, 0) = log_sum_exp_of(rows_.maximum[r], rows_.sum[r]);
    if (!out_.output.data) return;
    rows_.rescale(r, Pack<A>(factor(r, h)));
    write_run(rows_.output.row(r), out_.output.features(), out_.output.pointer(walk_.batch, h, i),
              out_.output.strides[3]);
  }

  /// The scores that the walk has left there become weights.
  void write_weights() {
    for (Index j = 0; j < call_.in.n_k(); j += DecodePlan::tile) {
      const Index count = std::min(DecodePlan::tile, call_.in.n_k() - j);
      kept().recall(scratch_.s, j, count);
      for (Index r = 0; r < count_; ++r) weigh(r, count);
      if constexpr (Program::prob_count > 0) modify_probabilities(j, count, false);
      kept().keep(scratch_.s, j, count);
    }
  }
  void weigh(Index r, Index count) {
    const Pack<A> maximum(rows_.maximum[r]);
    const Pack<A> scale(factor(r, walk_.first_head + quotient(r, n_q_)));
    A* s = scratch_.s.row(r);
    for (Index j = 0; j < count; j += Pack<A>::width) {
      const Pack<A> score = Pack<A>::load(s + j);
      const Pack<A> p = call_.program.normalizer.probability(score, maximum, scale);
      select(score == Pack<A>(minus_infinity<A>), Pack<A>(0), p).store(s + j);
    }
  }
  KeptScores<A> kept() const { return {out_.weights, walk_, n_q_}; }

  void take_in(Index first, Index count, Verdict all, Index last) {
    raw_scores(first, count);
    if (Program::mod_count > 0 || all == Verdict::mixed) modify_scores(first, count, all);
    if constexpr (has_weights<Out>) kept().keep(scratch_.s, first, count);
    Pack<A> least(std::numeric_limits<A>::infinity());
    for (Index r = 0; r < count_; ++r) least = rows_.absorb(r, scratch_.s.row(r), count, least);
    if (values_.features() == 0) return;
    const bool hides = !(Eigen::internal::predux_min(least.raw) > minus_infinity<A>);
    const bool careful = hides && !values_.template all_finite<A>(first, count);
    if constexpr (Program::prob_count > 0) modify_probabilities(first, count, careful);
    if (careful) return add_visible(first, count);
    const Index end = first + count;
    for_each_run(first, end, [&](Index j, Index run) {
      const ScratchRows<A> weights = scratch_.s.from(0, j - first);
      scale(weights, values_.scales(j), run);
      const StoredRows<S> next = j + run < end
                                     ? values_.place(j + run, end - j - run)
                                     : keys_.place(end, std::min(DecodePlan::tile, last - end));
      add_products(values_, values_.load(j, run), weights, count_, rows_.output, false, is_far_,
                   next);
    });
  }

  void raw_scores(Index first, Index count) {
    std::fill_n(scratch_.s.data, scratch_.s.stride * blocked_rows(count_), A(0));
    const Index end = first + count;
    for_each_run(first, end, [&](Index j, Index run) {
      const ScratchRows<A> scores = scratch_.s.from(0, j - first);
      const StoredRows<S> next =
          j + run < end ? keys_.place(j + run, end - j - run) : values_.place(first, count);
      add_products(keys_, keys_.load(j, run), scratch_.q, count_, scores, true, is_far_, next);
      scale(scores, keys_.scales(j), run);
    });
  }

  /// f(first, count) for the runs of these keys that are handed out at once.
  template <class F>
  void for_each_run(Index first, Index end, F&& f) const {
    for (Index run; first < end; first += run) {
      run = keys_.run(first, end - first);
      f(first, run);
    }
  }

  /// The first `count` columns times what belongs to each, if anything does.
  void scale(const ScratchRows<A>& rows, const float* factors, Index count) const {
    if (!factors) return;
    for (Index r = 0; r < count_; ++r)
      for (Index j = 0; j < count; ++j) rows.row(r)[j] *= static_cast<A>(factors[j]);
  }

  /// f(pack, position) over the scores of a tile, in packs of the queries of one head and key;
  /// rule(tile) gives the f of a head.
  template <class Rule>
  void transform(Index first, Index count, Rule&& rule) const {
    constexpr Index width = Pack<A>::width;
    for (Index g = 0; g < walk_.heads; ++g) {
      const Tile tile = tiles_.positions(g, first, count);
      const auto f = rule(tile);
      for (Index i = 0; i < n_q_; i += width)
        for (Index j = 0; j < count; ++j) {
          A lanes[width] = {};
          A* s = scratch_.s.row(g * n_q_ + i) + j;
          const Index queries = std::min(width, n_q_ - i);
          for (Index l = 0; l < queries; ++l) lanes[l] = s[l * scratch_.s.stride];
          f(Pack<A>::load(lanes), call_.program.place(tile, i, j)).store(lanes);
          for (Index l = 0; l < queries; ++l) s[l * scratch_.s.stride] = lanes[l];
        }
    }
  }

  void modify_scores(Index first, Index count, Verdict all) const {
    const Program& program = call_.program;
    if (all == Verdict::mixed)
      transform(first, count, [&](const Tile& tile) {
        return [&program, e = tile.extent, modify = program.modifier(tile)](
                   const Pack<A>& s, const PackPosition<A>& at) {
          return program.mask(modify(s, at), at, e, minus_infinity<A>);
        };
      });
    else
      transform(first, count, [&](const Tile& tile) { return program.modifier(tile); });
  }

  /// Weights of zero mean "hidden" until they are modified.
  void modify_probabilities(Index first, Index count, bool careful) const {
    const Index all = scratch_.s.stride * count_;
    if (careful)
      for (Index k = 0; k < all; ++k)
        scratch_.visible[k] = scratch_.s.data[k] == A(0) ? A(0) : A(1);
    transform(first, count, [&](const Tile& tile) {
      return
          [&program = call_.program, e = tile.extent](const Pack<A>& p, const PackPosition<A>& at) {
            return program.modify_probability(p, at, e);
          };
    });
  }

  /// O += P V where zeros of hidden keys meet NaN or inf in V, which they must keep out.
  ATTN_NOINLINE void add_visible(Index first, Index count) const {
    const A* visible = Program::prob_count > 0 ? scratch_.visible : scratch_.s.data;
    for (Index r = 0; r < count_; ++r)
      for (Index j = 0; j < count; ++j) {
        if (visible[r * scratch_.s.stride + j] == A(0)) continue;
        const A p = scratch_.s.row(r)[j];
        for (Index k = 0; k < values_.features(); ++k)
          rows_.output.row(r)[k] += p * values_.template at<A>(first + j, k);
      }
  }

  void load_queries() const {
    const ScratchRows<A>& q = scratch_.q;
    const A factor = call_.score.factor();
    for (Index r = count_; r < blocked_rows(count_); ++r) std::fill_n(q.row(r), q.stride, A(0));
    for (Index g = 0; g < walk_.heads; ++g) {
      const Slice from(call_.in.q, walk_.batch, walk_.first_head + g);
      if constexpr (ScoreTile::projects_queries) {
        project_queries(from);
        const Index width = call_.score.query_width(from.features, keys_.features());
        for (Index i = 0; i < n_q_; ++i)
          load_row(scratch_.projected + i, width, n_q_, factor, q.row(g * n_q_ + i));
      } else {
        for (Index i = 0; i < n_q_; ++i)
          load_row(from.data + i * from.token_stride, from.features, from.feature_stride, factor,
                   q.row(g * n_q_ + i));
      }
    }
  }

  template <class T>
  void load_row(const T* from, Index length, Index step, A factor, A* to) const {
    if (step != 1) gather(from, step, length, to);
    for (Index k = 0; k < length; k += Pack<A>::width) {
      const Index lanes = length - k;
      const Pack<A> x =
          step == 1 ? load_first_as<A>(from + k, lanes) : load_first_as<A>(to + k, lanes);
      (x * Pack<A>(factor)).store(to + k);
    }
    for (Index k = padded<A>(length); k < scratch_.q.stride; ++k) to[k] = A(0);
  }

  template <class T>
  void project_queries(const Slice<const T>& from) const {
    const Index width = call_.score.query_width(from.features, keys_.features());
    for (Index k = 0; k < from.features; ++k)
      for (Index i = 0; i < n_q_; ++i)
        scratch_.raw_q[k * n_q_ + i] =
            static_cast<A>(from.data[i * from.token_stride + k * from.feature_stride]);
    const Eigen::OuterStride<> stride(n_q_);
    call_.score.project_query(ConstTileMap<A>(scratch_.raw_q, n_q_, from.features, stride),
                              TileMap<A>(scratch_.projected, n_q_, width, stride));
  }

  const C& call_;
  Index n_q_;
  DecodeWalk walk_;
  DecodeTiles<Program> tiles_;
  DecodeOperand<Tokens> keys_;
  DecodeOperand<Tokens> values_;
  const DecodeScratch<A, Tokens>& scratch_;
  const DecodeRows<A>& rows_;
  const Out& out_;
  Index count_;  ///< rows
  bool is_far_ = false;
};

/// Scratch of a decoding task that is little enough for the stack, in bytes.
inline constexpr std::size_t stack_scratch = 16 * 1024;

/// f(arena) with scratch of `bytes`: on the stack where that is little, else the worker's.
template <class F>
void with_scratch(std::size_t bytes, Workspace& workspace, Index worker, F&& f) {
  if (bytes <= stack_scratch) {
    alignas(scratch_alignment) std::byte on_stack[stack_scratch];
    f(Arena(on_stack));
  } else {
    f(Arena(workspace.worker(worker)));
  }
}

/// Attention over keys and values that may be stored in another type than Q and O.
template <class C, class Tokens, class Executor, class O>
void run_decode(const C& call, const Tokens& k, const Tokens& v, const Executor& executor,
                Workspace& workspace, const O& out) {
  using A = typename C::A;
  const DecodePlan plan(call.in);
  const Index tasks = plan.walks() * plan.chunks;
  if (tasks == 0) return;
  Arena own, partial;
  [[maybe_unused]] const DecodeScratch<A, Tokens> sized(own, call, plan, k, v);
  [[maybe_unused]] const DecodeRows<A> rows_sized(partial, plan.rows(), v.features());
  const bool whole = plan.chunks == 1;
  const std::size_t bytes = own.used() + (whole ? partial.used() : 0);
  if (bytes > stack_scratch) workspace.prepare(executor.workers(tasks), bytes);
  // What the tasks of one walk hand to one another.
  std::byte* const partials =
      workspace.sums(whole ? 0 : static_cast<std::size_t>(tasks) * partial.used());
  const auto partial_of = [&](Index task) {
    Arena arena(partials + static_cast<std::size_t>(task) * partial.used());
    return DecodeRows<A>(arena, plan.rows(), v.features());
  };
  // f(decoder) with the scratch of a worker; its rows are those of the task, or lie in the scratch.
  const auto with_decoder = [&](Index task, Index worker, auto&& f) {
    with_scratch(bytes, workspace, worker, [&](Arena arena) {
      const DecodeScratch<A, Tokens> scratch(arena, call, plan, k, v);
      const DecodeRows<A> rows =
          whole ? DecodeRows<A>(arena, plan.rows(), v.features()) : partial_of(task);
      const DecodeWalk walk(plan, quotient(task, plan.chunks));
      f(Decoder<C, Tokens, O>(call, plan, walk, k, v, scratch, rows, out));
    });
  };
  executor.run(tasks, [&](Index task, Index worker) {
    const Index first = (task - quotient(task, plan.chunks) * plan.chunks) * plan.chunk;
    with_decoder(task, worker, [&](auto&& decoder) {
      decoder.run(first, std::min(first + plan.chunk, plan.n_k));
      if (whole) decoder.write();
    });
  });
  if (whole) return;
  const auto finish_walk = [&](Index w, Index worker) {
    const Index first_task = w * plan.chunks;
    with_decoder(first_task, worker, [&](auto&& decoder) {
      for (Index chunk = 1; chunk < plan.chunks; ++chunk)
        decoder.merge(partial_of(first_task + chunk));
      decoder.write();
    });
  };
  if constexpr (has_weights<O>)
    executor.run(plan.walks(), finish_walk);
  else  // a few sums: threads would cost more
    for (Index w = 0; w < plan.walks(); ++w) finish_walk(w, 0);
}

/// The same where they are those of the call.
template <class C, class Executor, class O>
void run_decode(const C& call, const Executor& executor, Workspace& workspace, const O& out) {
  run_decode(call, call.in.k, call.in.v, executor, workspace, out);
}

}  // namespace engine
ATTN_END_NAMESPACE
