// SPDX-License-Identifier: Apache-2.0
// The forward pass: outputs, log-sum-exp and, where asked for, the weights themselves.
//
// Softmax streams: one walk over the keys with a running maximum (fused). Other normalisers, users'
// probability modifiers and the weights need two walks: the statistics of the rows first, then the
// weights from them, tile by tile. Nothing of size n_q x n_k is stored (sparsemax and entmax15: the
// scores of one block of queries). Flops: 2 n_q n_k (d + d_v) over visible tiles, a walk more of
// 2 n_q n_k d for the second way.
#pragma once

#include <algorithm>
#include <type_traits>

#include <attn/config.hpp>
#include <attn/engine/kernel.hpp>
#include <attn/engine/online_softmax.hpp>
#include <attn/engine/packet.hpp>
#include <attn/engine/panel.hpp>
#include <attn/engine/program.hpp>
#include <attn/engine/tile_walk.hpp>
#include <attn/executor.hpp>
#include <attn/workspace.hpp>

ATTN_BEGIN_NAMESPACE
namespace engine {

/// What a forward call writes; a view without data is not asked for.
template <class T, class A>
struct Outputs {
  TensorView<T> output;       ///< {batch, head, n_q, d_v}
  TensorView<A> log_sum_exp;  ///< {batch, head, n_q, 1}
  TensorView<T> weights;      ///< {batch, head, n_q, n_k}
};

/// Two numbers a row, from which a normaliser makes weights of scores.
template <class A>
struct RowNumbers {
  A* shift;
  A* second;

  RowNumbers(Arena& arena, Index queries)
      : shift(arena.take<A>(padded<A>(queries))), second(arena.take<A>(padded<A>(queries))) {}
};

template <class A, class Normalizer>
struct ForwardScratch {
  WalkScratch<A> walk;
  OnlineRows<A> online;
  RowNumbers<A> rows;
  PaddedTile<A> output;      ///< queries x d_v
  PaddedTile<A> visible;     ///< queries x keys, see note_visible
  PaddedTile<A> all_scores;  ///< queries x n_k, where a threshold is to be found

  template <class C>
  ForwardScratch(Arena& arena, const C& call)
      : walk(arena, call),
        online(arena, call.tiles.queries),
        rows(arena, call.tiles.queries),
        output(arena, call.tiles.queries, call.in.v.features()),
        visible(arena, call.tiles.queries, call.tiles.keys),
        all_scores(arena, call.tiles.queries,
                   Normalizer::statistic == RowStatistic::threshold ? call.in.n_k() : 0) {}
};

/// Blocks of queries against n_k scores each stay within 4 MiB for sparse normalisers.
template <class A, class Normalizer>
TileSizes call_tiles(Index d, Index d_v, Index n_q, Index n_k) {
  TileSizes tiles = tile_sizes<A>(d, d_v);
  if (Normalizer::statistic == RowStatistic::threshold) {
    const Index fitting =
        (Index(4) << 20) / static_cast<Index>(sizeof(A)) / std::max<Index>(n_k, 1);
    tiles.queries =
        std::clamp<Index>(fitting / Pack<A>::width * Pack<A>::width, Pack<A>::width, tiles.queries);
  }
  return {std::min(tiles.queries, padded<A>(std::max<Index>(n_q, 1))),
          std::min(tiles.keys, std::max<Index>(n_k, 1))};
}

/// NaN and inf in V reach every query that sees them, however small its weight, and no other. Where
/// a tile has both kinds, this notes 1 for the pairs that are visible while their scores last.
template <class Walk, class A>
bool note_visible(const Walk& walk, const KeyTile& tile, const PaddedTile<A>& visible) {
  if (!walk.may_hide(tile) || walk.values(tile.first, tile.count).all_finite()) return false;
  const PaddedTile<A>& s = walk.scratch().s;
  for (Index j = 0; j < tile.count; ++j)
    for (Index i = 0; i < walk.block().count; i += Pack<A>::width)
      select(Pack<A>::load(s.column(j) + i) == Pack<A>(minus_infinity<A>), Pack<A>(0), Pack<A>(1))
          .store(visible.column(j) + i);
  return true;
}

/// Takes O += P V for a tile of weights; `visible` where its zeros must be told apart.
template <class Walk, class A>
void add_output(const Walk& walk, const KeyTile& tile, const PaddedTile<A>& weights,
                const PaddedTile<A>* visible, const PaddedTile<A>& output) {
  const Operand<A> v = walk.values(tile.first, tile.count);
  const Index queries = walk.block().count;
  const auto p = weights.const_map(queries, tile.count);
  if (visible)
    add_product_of_visible<A>(output.map(queries, v.cols), p,
                              visible->const_map(queries, tile.count), v);
  else
    add_product<A>(output.map(queries, v.cols), p, v);
}

template <class Walk, class A>
bool update_rows(const Walk& walk, const KeyTile& tile, const OnlineRows<A>& online) {
  const Index queries = walk.block().count;
  return walk.may_hide(tile) ? online.template update<true>(walk.scratch().s, queries, tile.count)
                             : online.template update<false>(walk.scratch().s, queries, tile.count);
}

/// Maximum and sum of all visible scores of a block.
template <class Walk, class A>
void gather_sums(const Walk& walk, const OnlineRows<A>& online) {
  online.start(walk.block().count);
  walk.for_each_tile([&](const KeyTile& tile) {
    walk.modify_scores(tile);
    update_rows(walk, tile, online);
  });
}

/// Shift and threshold of all rows of a block, by way of all its scores.
template <class Walk, class A>
void gather_thresholds(const Walk& walk, const PaddedTile<A>& all, const RowNumbers<A>& rows) {
  using Normalizer = typename std::remove_cvref_t<decltype(walk.call().program)>::NormalizerPart;
  const Index n_k = walk.call().in.n_k(), queries = walk.block().count;
  std::fill_n(all.data, all.stride * n_k, minus_infinity<A>);
  walk.for_each_tile([&](const KeyTile& tile) {
    walk.modify_scores(tile);
    for (Index j = 0; j < tile.count; ++j)
      std::copy_n(walk.scratch().s.column(j), padded<A>(queries), all.column(tile.first + j));
  });
  for (Index i = 0; i < queries; i += Pack<A>::width)
    find_threshold<Normalizer>(all, i, n_k, rows.shift, rows.second);
}

/// The two numbers of every row, for a walk that makes weights.
template <class Walk, class Scratch>
void gather_rows(const Walk& walk, const Scratch& scratch) {
  using Program = std::remove_cvref_t<decltype(walk.call().program)>;
  using A = typename Program::Accumulator;
  using Normalizer = typename Program::NormalizerPart;
  const RowNumbers<A>& rows = scratch.rows;
  if constexpr (Normalizer::statistic == RowStatistic::threshold) {
    gather_thresholds(walk, scratch.all_scores, rows);
  } else if constexpr (Normalizer::statistic == RowStatistic::sum_of_exp) {
    gather_sums(walk, scratch.online);
    for (Index i = 0; i < padded<A>(walk.block().count); ++i) {
      const A m = scratch.online.maximum[i], sum = scratch.online.sum[i];
      rows.shift[i] = m;
      rows.second[i] = sum == A(0) ? A(0)
                                   : A(1) / walk.call().program.normalizer.denominator(
                                                sum, m, walk.block().head);
    }
  } else {
    std::fill_n(rows.shift, padded<A>(walk.block().count), A(0));
    std::fill_n(rows.second, padded<A>(walk.block().count), A(0));
  }
}

/// f(tile, visible) for every tile, with its weights (after probability modifiers) in place of its
/// scores; `visible` as add_output takes it.
template <class Walk, class Scratch, class F>
void for_each_weights(const Walk& walk, const Scratch& scratch, F&& f) {
  using A = typename Walk::A;
  const auto& program = walk.call().program;
  const RowNumbers<A>& rows = scratch.rows;
  walk.for_each_tile([&](const KeyTile& tile) {
    walk.modify_scores(tile);
    const bool careful = note_visible(walk, tile, scratch.visible);
    walk.transform_scores(tile, [&](const Pack<A>& s, const PackPosition<A>& at) {
      const Index i = at.first_query - tile.positions.first_query;
      const Pack<A> p = program.normalizer.probability(s, Pack<A>::load(rows.shift + i),
                                                       Pack<A>::load(rows.second + i));
      return select(s == Pack<A>(minus_infinity<A>), Pack<A>(0),
                    program.modify_probability(p, at, tile.positions.extent));
    });
    f(tile, careful ? &scratch.visible : nullptr);
  });
}

template <class A, class T>
void write_output(const PaddedTile<A>& tile, const TensorView<T>& to, const QueryBlock& block) {
  if (!to.data) return;
  const Slice<T> slice(to, block.batch, block.head);
  write_tokens(tile.const_map(block.count, slice.features), slice, block.first);
}

template <class A>
void write_log_sum_exp(const OnlineRows<A>& online, const TensorView<A>& to,
                       const QueryBlock& block) {
  if (!to.data) return;
  for (Index i = 0; i < block.count; ++i)
    to(block.batch, block.head, block.first + i, 0) = online.log_sum_exp(i);
}

/// One walk: O and the sums grow together; divide once at the end.
template <class Walk, class Scratch, class T, class A>
void forward_fused(const Walk& walk, const Scratch& scratch, const Outputs<T, A>& out) {
  const QueryBlock& block = walk.block();
  const Index queries = block.count, d_v = walk.call().in.v.features();
  const auto& program = walk.call().program;
  PaddedTile<A> output = scratch.output;
  output.set_zero(d_v);
  scratch.online.start(queries);
  walk.for_each_tile([&](const KeyTile& tile) {
    walk.modify_scores(tile);
    const bool careful = note_visible(walk, tile, scratch.visible);
    if (update_rows(walk, tile, scratch.online))
      scale_rows(output, queries, d_v, scratch.online.rescale);
    if constexpr (std::remove_cvref_t<decltype(program)>::prob_count > 0)
      walk.transform_scores(tile, [&](const Pack<A>& p, const PackPosition<A>& at) {
        return program.modify_probability(p, at, tile.positions.extent);
      });
    add_output(walk, tile, walk.scratch().s, careful ? &scratch.visible : nullptr, output);
  });
  for (Index i = 0; i < padded<A>(queries); ++i) {
    const A sum = scratch.online.sum[i];
    scratch.rows.second[i] = sum == A(0) ? A(0)
                                         : A(1) / program.normalizer.denominator(
                                                      sum, scratch.online.maximum[i], block.head);
  }
  scale_rows(output, queries, d_v, scratch.rows.second);
  write_output(output, out.output, block);
  write_log_sum_exp(scratch.online, out.log_sum_exp, block);
}

/// Two walks: the numbers of the rows, then the weights.
template <class Walk, class Scratch, class T, class A>
void forward_two_walks(const Walk& walk, const Scratch& scratch, const Outputs<T, A>& out) {
  using Normalizer = typename std::remove_cvref_t<decltype(walk.call().program)>::NormalizerPart;
  const QueryBlock& block = walk.block();
  if (Normalizer::statistic != RowStatistic::sum_of_exp && out.log_sum_exp.data)
    gather_sums(walk, scratch.online);
  gather_rows(walk, scratch);
  write_log_sum_exp(scratch.online, out.log_sum_exp, block);
  PaddedTile<A> output = scratch.output;
  output.set_zero(walk.call().in.v.features());
  const Slice<T> weights(out.weights, block.batch, block.head);
  if (out.weights.data)
    weights.visit_rows(block.first, block.count, [](auto rows) { rows.setZero(); });
  for_each_weights(walk, scratch, [&](const KeyTile& tile, const PaddedTile<A>* visible) {
    const PaddedTile<A>& p = walk.scratch().s;
    if (out.output.data) add_output(walk, tile, p, visible, output);
    if (out.weights.data)
      weights.visit_rows(block.first, block.count, [&](auto rows) {
        rows.middleCols(tile.first, tile.count) =
            p.const_map(block.count, tile.count).template cast<T>();
      });
  });
  write_output(output, out.output, block);
}

/// Binds the parts to the accumulator type and lays out the memory that all tasks share. f(call).
template <class T, class Program, class F>
void with_call(const Inputs<T>& in, const Program& program, Workspace& workspace, F&& f) {
  using A = typename Program::Accumulator;
  using Normalizer = typename Program::NormalizerPart;
  const Index d = in.q.features();
  const auto lay_out = [&](Arena arena, auto&& use) {
    auto score = bind_score<A>(program.score, d, arena);
    using C = Call<T, Program, decltype(score)>;
    A* keys = arena.take<A>(C::projected_count(in, score));
    use(arena, C{in, program, score,
                 call_tiles<A, Normalizer>(
                     std::max({d, score.query_width(d, in.k.features()), in.k.features()}),
                     in.v.features(), in.n_q(), in.n_k()),
                 keys});
  };
  std::size_t bytes = 0;
  lay_out(Arena(), [&](const Arena& arena, const auto&) { bytes = arena.used(); });
  lay_out(Arena(workspace.shared(bytes)), [&](const Arena&, const auto& call) { f(call); });
}

/// Transforms the keys of every batch and key head where the score function wants that.
template <class C, class Executor>
void project_all_keys(const C& call, const Executor& executor, Workspace& workspace) {
  if constexpr (decltype(call.score)::projects_keys) {
    using A = typename C::A;
    const Index heads = call.in.k.heads();
    executor.run(call.in.k.batches() * heads, [&](Index task, Index worker) {
      Arena arena(workspace.worker(worker));
      call.project_keys(task / heads, task % heads,
                        arena.take<A>(call.tiles.keys * call.in.k.features()));
    });
  }
}

template <class T, class Program, class Executor>
void run_forward(const Inputs<T>& in, const Program& program, const Executor& executor,
                 Workspace& workspace, const Outputs<T, typename Program::Accumulator>& out) {
  using A = typename Program::Accumulator;
  using Normalizer = typename Program::NormalizerPart;
  constexpr bool can_fuse =
      Normalizer::statistic == RowStatistic::sum_of_exp && Program::probs_are_linear;
  with_call(in, program, workspace, [&](const auto& call) {
    using C = std::remove_cvref_t<decltype(call)>;
    using Scratch = ForwardScratch<A, Normalizer>;
    Arena measure;
    [[maybe_unused]] const Scratch sized(measure, call);
    workspace.prepare(executor.workers(std::max(call.tasks(), in.k.batches() * in.k.heads())),
                      measure.used());
    project_all_keys(call, executor, workspace);
    executor.run(call.tasks(), [&](Index task, Index worker) {
      Arena arena(workspace.worker(worker));
      const Scratch scratch(arena, call);
      const TileWalk<T, Program, decltype(C::score)> walk(call, scratch.walk, call.block(task));
      if constexpr (can_fuse) {
        if (!out.weights.data) return forward_fused(walk, scratch, out);
      }
      forward_two_walks(walk, scratch, out);
    });
  });
}

}  // namespace engine
ATTN_END_NAMESPACE
