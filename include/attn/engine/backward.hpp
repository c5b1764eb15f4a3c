// SPDX-License-Identifier: Apache-2.0
// The backward pass: gradients of Q, K, V and of every parameter of every part, in O(n) memory.
//
// P is computed again, tile by tile, from the scores and L (Dao 2023, algorithm 2):
//
//     dV = P'^T dO    dP' = dO V^T    dP = dP' through the probability modifiers
//     dS = J(P) o (dP - D)            dS through the score modifiers
//     dQ = dS K       dK = dS^T Q     and on through the score function's own transformation
//
// Five products, 10 n_q n_k d flops. A task is one key-value head with all query heads that read
// it; its tiles come in a fixed order, so results are the same for any number of threads.
#pragma once

#include <algorithm>
#include <cmath>
#include <type_traits>
#include <vector>

#include <attn/config.hpp>
#include <attn/engine/forward.hpp>
#include <attn/engine/kernel.hpp>
#include <attn/engine/packet.hpp>
#include <attn/engine/panel.hpp>
#include <attn/engine/program.hpp>
#include <attn/engine/tile_walk.hpp>
#include <attn/workspace.hpp>

ATTN_BEGIN_NAMESPACE
namespace engine {

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

template <class A, class Normalizer>
struct BackwardScratch {
  WalkScratch<A> walk;
  OnlineRows<A> online;
  RowNumbers<A> rows;
  PaddedTile<A> all_scores;  ///< as in the forward pass
  PaddedTile<A> d_output;    ///< queries x d_v
  PaddedTile<A> d_weights;   ///< queries x keys: dP', then dS
  PaddedTile<A> d_query;     ///< queries x query_width, before the transformation is undone
  PaddedTile<A> d_raw;       ///< max(queries, keys) x max(d, d_k): after it
  A* mean;                   ///< D
  A* mean_weight;            ///< what D is divided by
  PaddedTile<A> d_keys;      ///< n_k x key_width, summed over queries and heads
  PaddedTile<A> d_values;    ///< n_k x d_v

  template <class C>
  BackwardScratch(Arena& arena, const C& call)
      : walk(arena, call),
        online(arena, call.tiles.queries),
        rows(arena, call.tiles.queries),
        all_scores(arena, call.tiles.queries,
                   Normalizer::statistic == RowStatistic::threshold ? call.in.n_k() : 0),
        d_output(arena, call.tiles.queries, call.in.v.features()),
        d_weights(arena, call.tiles.queries, call.tiles.keys),
        d_query(arena, call.tiles.queries, call.query_width()),
        d_raw(arena, std::max(call.tiles.queries, call.tiles.keys),
              std::max(call.in.q.features(), call.in.k.features())),
        mean(arena.take<A>(padded<A>(call.tiles.queries))),
        mean_weight(arena.take<A>(padded<A>(call.tiles.queries))),
        d_keys(arena, call.in.n_k(), call.key_width()),
        d_values(arena, call.in.n_k(), call.in.v.features()) {}
};

/// The backward pass of one block of queries; adds to d_keys and d_values of the scratch.
template <class Walk, class Scratch, class T, class Gradients>
class BlockBackward {
 public:
  using Program = std::remove_cvref_t<decltype(std::declval<const Walk&>().call().program)>;
  using A = typename Program::Accumulator;
  using P = Pack<A>;
  using Normalizer = typename Program::NormalizerPart;
  static constexpr bool is_exponential = Normalizer::statistic == RowStatistic::sum_of_exp;

  BlockBackward(const Walk& walk, const Scratch& scratch, const BackwardViews<T, A>& views,
                Gradients& gradients)
      : walk_(walk), scratch_(scratch), views_(views), gradients_(gradients) {}

  void run() {
    load_rows();
    load_d_output();
    find_means();
    PaddedTile<A> d_query = scratch_.d_query;
    d_query.set_zero(walk_.call().query_width());
    walk_.for_each_tile([&](const KeyTile& tile) {
      differentiate(tile);
      add_to_inputs(tile);
    });
    finish_queries();
    add_sink_gradient();
  }

 private:
  const Program& program() const { return walk_.call().program; }
  Index queries() const { return walk_.block().count; }
  Index d_v() const { return walk_.call().in.v.features(); }
  A log_sum_exp(Index i) const {
    const QueryBlock& b = walk_.block();
    return views_.log_sum_exp(b.batch, b.head, b.first + i, 0);
  }

  void load_rows() const {
    if constexpr (is_exponential) {
      std::fill_n(scratch_.rows.shift, padded<A>(queries()), A(0));
      std::fill_n(scratch_.rows.second, padded<A>(queries()), A(1));
      for (Index i = 0; i < queries(); ++i)
        scratch_.rows.shift[i] =
            program().normalizer.log_denominator(log_sum_exp(i), walk_.block().head);
    } else {
      gather_rows(walk_, scratch_);
    }
  }

  void load_d_output() const {
    PaddedTile<A> tile = scratch_.d_output;
    tile.set_zero(d_v());
    PaddedTile<A> d_weights = scratch_.d_weights;
    d_weights.set_zero(walk_.call().tiles.keys);
    const QueryBlock& b = walk_.block();
    read_tokens(Slice<const T>(views_.d_output, b.batch, b.head), b.first,
                tile.map(queries(), d_v()));
  }

  /// D: for softmax the product of an output row with its gradient; else a walk of its own.
  void find_means() {
    std::fill_n(scratch_.mean, padded<A>(queries()), A(0));
    if constexpr (is_exponential && Program::probs_are_linear) {
      const QueryBlock& b = walk_.block();
      const Slice<const T> output(views_.output, b.batch, b.head);
      const auto d_output = scratch_.d_output.const_map(queries(), d_v());
      Eigen::Map<VectorX<A>> mean(scratch_.mean, queries());
      output.visit_rows(b.first, b.count, [&](const auto& rows) {
        mean = rows.template cast<A>().cwiseProduct(d_output).rowwise().sum();
      });
    } else if constexpr (Normalizer::statistic != RowStatistic::none) {
      sum_means();
    }
  }

  void sum_means() {
    std::fill_n(scratch_.mean_weight, padded<A>(queries()), A(0));
    Gradients unused = program().zero_gradients();
    walk_.for_each_tile([&](const KeyTile& tile) {
      load_d_weights(tile);
      for_each_pack(tile, [&](const P& s, const P& dp, const PackPosition<A>& at, Index i, Index) {
        program().through_mods(s, at, tile.positions.extent, unused, [&](const P& score) {
          const Weight w = weight(score, dp, at, tile, i, unused);
          add(scratch_.mean + i, select(w.hidden, P(0), w.jacobian * w.d_weight));
          add(scratch_.mean_weight + i, w.jacobian);
          return P(0);
        });
      });
    });
    if constexpr (!is_exponential)
      for (Index i = 0; i < padded<A>(queries()); ++i)
        if (scratch_.mean_weight[i] != A(0)) scratch_.mean[i] /= scratch_.mean_weight[i];
  }

  static void add(A* to, const P& pack) { (P::load(to) + pack).store(to); }

  void load_d_weights(const KeyTile& tile) const {
    product_transposed<A>(scratch_.d_weights.map(queries(), tile.count),
                          scratch_.d_output.const_map(queries(), d_v()),
                          walk_.values(tile.first, tile.count));
  }

  /// f(score, dP', position, i, j) for every pack of a tile. Hidden scores come as 0, so that
  /// nothing a masked key holds reaches a derivative; `hidden_` tells where.
  template <class F>
  void for_each_pack(const KeyTile& tile, F&& f) {
    const Extent e = tile.positions.extent;
    for (Index j = 0; j < tile.count; ++j)
      for (Index i = 0; i < queries(); i += P::width) {
        const PackPosition<A> at = program().place(tile.positions, i, j);
        P s = P::load(walk_.scratch().s.column(j) + i);
        hidden_ = select(P::first_and_up(A(0)) < P(at.lanes), P(0), P(1));
        if (tile.verdict == Verdict::mixed) hidden_ = program().mask(hidden_, at, e, A(1));
        s = select(hidden_ == P(0), s, P(0));
        f(s, P::load(scratch_.d_weights.column(j) + i), at, i, j);
      }
  }

  struct Weight {
    P modified;  ///< P', after the probability modifiers
    P d_weight;  ///< dP
    P jacobian;  ///< J
    PackMask<A> hidden;
  };

  Weight weight(const P& score, const P& d_modified, const PackPosition<A>& at, const KeyTile& tile,
                Index i, Gradients& gradients) {
    const Extent e = tile.positions.extent;
    const P s = select(hidden_ == P(0), score, P(minus_infinity<A>));
    const PackMask<A> hidden = s == P(minus_infinity<A>);
    const P p = program().normalizer.probability(s, P::load(scratch_.rows.shift + i),
                                                 P::load(scratch_.rows.second + i));
    const P dp = program().through_probs(p, select(hidden, P(0), d_modified), at, e, gradients);
    return {program().modify_probability(p, at, e), dp, program().normalizer.jacobian(p), hidden};
  }

  /// Puts P' in place of the scores and dS in place of dP'.
  void differentiate(const KeyTile& tile) {
    load_d_weights(tile);
    for_each_pack(tile,
                  [&](const P& raw, const P& dp, const PackPosition<A>& at, Index i, Index j) {
                    const P ds = program().through_mods(
                        raw, at, tile.positions.extent, gradients_, [&](const P& score) {
                          const Weight w = weight(score, dp, at, tile, i, gradients_);
                          select(w.hidden, P(0), w.modified).store(walk_.scratch().s.column(j) + i);
                          const P d = w.jacobian * (w.d_weight - P::load(scratch_.mean + i));
                          const P d_score = select(w.hidden, P(0), d);
                          if constexpr (requires { gradients_.template at<1>().bias; })
                            gradients_.template at<1>().bias += sum(d_score);
                          return d_score;
                        });
                    ds.store(scratch_.d_weights.column(j) + i);
                  });
  }

  void add_to_inputs(const KeyTile& tile) {
    const Operand<A> k = walk_.keys(tile.first, tile.count);
    const auto p = walk_.scratch().s.const_map(queries(), tile.count);
    const auto ds = scratch_.d_weights.const_map(queries(), tile.count);
    const auto d_output = scratch_.d_output.const_map(queries(), d_v());
    const Index key_width = walk_.call().key_width();
    const TileMap<A> dv = keys_of(scratch_.d_values, tile, d_v());
    const TileMap<A> dk = keys_of(scratch_.d_keys, tile, key_width);
    const bool careful =
        walk_.may_hide(tile) && !(k.all_finite() && Operand<A>(walk_.queries()).all_finite() &&
                                  Operand<A>(d_output).all_finite());
    if (careful)
      add_product_of_transposed_visible<A>(dv, p, d_output);
    else
      add_product_of_transposed<A>(dv, p, d_output);
    using ScoreTile = std::remove_cvref_t<decltype(walk_.call().score)>;
    if constexpr (!ScoreTile::is_product) {
      walk_.call().score.scores_backward(scratch_.d_weights, queries(), walk_.scratch().q, k,
                                         scratch_.d_query, dk, gradients_.template at<0>());
    } else if (careful) {
      add_product_of_visible<A>(scratch_.d_query.map(queries(), k.cols), ds, ds, k);
      add_product_of_transposed_visible<A>(dk, ds, walk_.queries());
    } else {
      add_product<A>(scratch_.d_query.map(queries(), k.cols), ds, k);
      add_product_of_transposed<A>(dk, ds, walk_.queries());
    }
  }

  static TileMap<A> keys_of(const PaddedTile<A>& all, const KeyTile& tile, Index cols) {
    return {all.data + tile.first, tile.count, cols, Eigen::OuterStride<>(all.stride)};
  }

  void finish_queries() {
    const Index d = walk_.call().in.q.features();
    walk_.call().score.project_query_backward(
        walk_.raw_queries(), scratch_.d_query.const_map(queries(), walk_.call().query_width()),
        scratch_.d_raw.map(queries(), d), gradients_.template at<0>());
    write_output(scratch_.d_raw, views_.d_query, walk_.block());
  }

  /// d logit_h = -exp(logit_h - Z_i) D_i, summed over the queries that see a key.
  void add_sink_gradient() {
    if constexpr (std::is_same_v<Normalizer, SoftmaxWithSink>) {
      const Index head = walk_.block().head;
      const HeadValues& logits = program().normalizer.logits;
      auto& gradient = gradients_.template at<1>().logits;
      for (Index i = 0; i < queries(); ++i)
        if (log_sum_exp(i) != minus_infinity<A>)
          gradient(logits.shared() ? 0 : head) -=
              std::exp(static_cast<A>(logits(head)) - scratch_.rows.shift[i]) * scratch_.mean[i];
    }
  }

  const Walk& walk_;
  const Scratch& scratch_;
  const BackwardViews<T, A>& views_;
  Gradients& gradients_;
  P hidden_;
};

/// dK and dV of one key-value head, from what its queries have added up.
template <class C, class Scratch, class T, class Gradients>
void finish_keys(const C& call, const Scratch& scratch,
                 const BackwardViews<T, typename C::A>& views, Index b, Index c,
                 Gradients& gradients) {
  using A = typename C::A;
  const Index n_k = call.in.n_k();
  const Slice<T> d_key(views.d_key, b, c), d_value(views.d_value, b, c);
  write_tokens(scratch.d_values.const_map(n_k, d_value.features), d_value, 0);
  const ConstTileMap<A> d = scratch.d_keys.const_map(n_k, call.key_width());
  if constexpr (decltype(call.score)::projects_keys) {
    const Slice<const T> keys(call.in.k, b, c);
    for (Index j = 0; j < n_k; j += call.tiles.keys) {
      const Index count = std::min(call.tiles.keys, n_k - j);
      TileMap<A> raw(scratch.walk.keys, count, keys.features, Eigen::OuterStride<>(count));
      read_tokens(keys, j, raw);
      const TileMap<A> dk = scratch.d_raw.map(count, keys.features);
      call.score.project_key_backward(
          ConstTileMap<A>(raw.data(), count, keys.features, Eigen::OuterStride<>(count)),
          ConstTileMap<A>(d.data() + j, count, d.cols(), Eigen::OuterStride<>(d.outerStride())), dk,
          gradients);
      write_tokens(
          ConstTileMap<A>(dk.data(), count, keys.features, Eigen::OuterStride<>(dk.outerStride())),
          d_key, j);
    }
  } else {
    TileMap<A> scaled = scratch.d_keys.map(n_k, call.key_width());
    scaled *= call.score.factor();
    write_tokens(d, d_key, 0);
  }
}

/// All queries that read key-value head c of batch b.
template <class T, class C, class Scratch, class Gradients>
void backward_task(const C& call, const Scratch& scratch,
                   const BackwardViews<T, typename C::A>& views, Index b, Index c,
                   Gradients& gradients) {
  using Program = std::remove_cvref_t<decltype(call.program)>;
  using Walk = TileWalk<T, Program, decltype(C::score)>;
  auto d_keys = scratch.d_keys, d_values = scratch.d_values;
  d_keys.set_zero(call.key_width());
  d_values.set_zero(call.in.v.features());
  const Index group = call.in.q.heads() / call.in.k.heads();
  const Index blocks = call.query_blocks();
  for (Index h = c * group; h < (c + 1) * group; ++h)
    for (Index k = 0; k < blocks; ++k) {
      const Walk walk(call, scratch.walk, call.block((b * call.in.q.heads() + h) * blocks + k));
      BlockBackward<Walk, Scratch, T, Gradients>(walk, scratch, views, gradients).run();
    }
  finish_keys(call, scratch, views, b, c, gradients.template at<0>());
}

/// Gradients of everything. Tasks that share gradients of parameters run one after the other.
template <class T, class Program, class Executor>
typename Program::Gradients run_backward(
    const Inputs<T>& in, const Program& program, const Executor& executor, Workspace& workspace,
    const BackwardViews<T, typename Program::Accumulator>& views) {
  using A = typename Program::Accumulator;
  using Gradients = typename Program::Gradients;
  using Scratch = BackwardScratch<A, typename Program::NormalizerPart>;
  using Chosen = std::conditional_t<Program::shares_gradients, CallingThread, Executor>;
  Chosen chosen{};
  if constexpr (!Program::shares_gradients) chosen = executor;
  const Index heads = in.k.heads(), tasks = in.k.batches() * heads;
  std::vector<Gradients> gradients;
  for (Index t = 0; t < (Program::shares_gradients ? Index(1) : std::max<Index>(tasks, 1)); ++t)
    gradients.push_back(program.zero_gradients());
  with_call(in, program, workspace, [&](const auto& call) {
    Arena measure;
    [[maybe_unused]] const Scratch sized(measure, call);
    workspace.prepare(chosen.workers(tasks), measure.used());
    project_all_keys(call, chosen, workspace);
    chosen.run(tasks, [&](Index task, Index worker) {
      Arena arena(workspace.worker(worker));
      const Scratch scratch(arena, call);
      backward_task(call, scratch, views, task / heads, task % heads,
                    gradients[Program::shares_gradients ? 0 : static_cast<std::size_t>(task)]);
    });
  });
  if constexpr (!Program::shares_gradients && Program::score_has_scale)
    for (std::size_t t = 1; t < gradients.size(); ++t)
      gradients[0].template at<0>().scale += gradients[t].template at<0>().scale;
  return std::move(gradients[0]);
}

}  // namespace engine
ATTN_END_NAMESPACE
