// SPDX-License-Identifier: Apache-2.0
// The forward pass: outputs, log-sum-exp and, where asked for, the weights themselves.
//
// Softmax streams: one walk over the keys with a running maximum (fused). Other normalisers, users'
// probability modifiers and the weights need two walks: the statistics of the rows first, then the
// weights from them, tile by tile; small heads and decoding (forward_path.hpp) have the weights
// after one. Nothing of size n_q x n_k is stored (sparsemax and entmax15: the scores of one block
// of queries). Flops: 2 n_q n_k (d + d_v) over visible tiles, a walk more of 2 n_q n_k d for the
// second way.
#pragma once

#include <algorithm>
#include <type_traits>
#include <utility>

#include <attn/config.hpp>
#include <attn/engine/decode.hpp>
#include <attn/engine/forward_path.hpp>
#include <attn/engine/kernel.hpp>
#include <attn/engine/online_softmax.hpp>
#include <attn/engine/packet.hpp>
#include <attn/engine/panel.hpp>
#include <attn/engine/program.hpp>
#include <attn/engine/small.hpp>
#include <attn/engine/tile_walk.hpp>
#include <attn/engine/tiny.hpp>
#include <attn/executor.hpp>
#include <attn/workspace.hpp>

ATTN_BEGIN_NAMESPACE
namespace engine {

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
  A* maximum;                ///< of the rows of a panel, with the tile at hand
  A* v;                      ///< packed values of a tile: [column / group][key][group]
  A* output;                 ///< of a block: [panel][column][query]
  PaddedTile<A> visible;     ///< of a panel and a tile, see note_visible
  PaddedTile<A> all_scores;  ///< of a panel: [n_k][query], where a threshold is to be found

  template <class C>
  ForwardScratch(Arena& arena, const C& call)
      : walk(arena, call),
        online(arena, call.tiles.queries),
        rows(arena, call.tiles.queries),
        maximum(arena.take<A>(panel_width<A>)),
        v(arena.take<A>(grouped(call.in.v.features()) * call.tiles.keys)),
        output(arena.take<A>(call.tiles.queries * grouped(call.in.v.features()))),
        visible(arena, panel_width<A>, call.tiles.keys),
        all_scores(arena, call.tiles.queries,
                   Normalizer::statistic == RowStatistic::threshold ? call.in.n_k() : 0) {}

  PaddedTile<A> output_of(const Panel& panel, Index d_v) const {
    return {output + panel.first * grouped(d_v), panel_rows<A>(panel)};
  }
};

/// Blocks are no larger than the call needs. Where a threshold is to be found, a block is one panel
/// whose scores against all n_k keys stay within 4 MiB.
template <class A, class Normalizer>
TileSizes call_tiles(Index d, Index d_v, Index n_q, Index n_k, bool has_masks = false) {
  TileSizes tiles = tile_sizes<A>(d, d_v, has_masks);
  if (Normalizer::statistic == RowStatistic::threshold) {
    const Index fitting =
        (Index(4) << 20) / static_cast<Index>(sizeof(A)) / std::max<Index>(n_k, 1);
    tiles.queries = std::clamp<Index>(fitting / Pack<A>::width * Pack<A>::width, Pack<A>::width,
                                      panel_width<A>);
  }
  return {std::min(tiles.queries, padded<A>(std::max<Index>(n_q, 1))),
          std::min(tiles.keys, std::max<Index>(n_k, 1))};
}

/// NaN and inf in V reach every query that sees them, however small its weight, and no other. Where
/// V is not finite, this notes 1 for the pairs that are visible while their scores last.
template <class Walk, class A>
void note_visible(const Walk& walk, const KeyTile& tile, const PaddedTile<A>& visible) {
  const PaddedTile<A>& s = walk.scratch().s;
  for (Index j = 0; j < tile.count; ++j)
    for (Index i = 0; i < tile.panel.count; i += Pack<A>::width)
      select(Pack<A>::load(s.column(j) + i) == Pack<A>(minus_infinity<A>), Pack<A>(0), Pack<A>(1))
          .store(visible.column(j) + i);
}

/// Packs the values of a tile for add_output, which must be careful where they are not finite.
template <class Walk, class A>
bool pack_values(const Walk& walk, Index first, Index count, A* v) {
  const Operand<A> values = walk.values(first, count);
  if (!walk.is_direct()) pack(values.transposed(), key_group, v);
  return !values.all_finite();
}

/// O = O rescale + P V for a tile of weights, which stand in place of its scores. `careful`: zeros
/// in scratch.visible must be told apart.
template <bool rescales, class Walk, class Scratch>
void add_output(const Walk& walk, const KeyTile& tile, const Scratch& scratch, bool careful) {
  using A = typename Walk::A;
  const Index d_v = walk.call().in.v.features();
  const PaddedTile<A> output = scratch.output_of(tile.panel, d_v);
  const PaddedTile<A>& p = walk.scratch().s;
  const A* rescale = scratch.online.rescale + tile.panel.first;
  if (!careful && walk.is_direct())
    return add_panel_direct<rescales>(tile.panel.packs, p.data, walk.values(tile.first, tile.count),
                                      output.data, rescale);
  if (!careful)
    return add_panel<rescales>(tile.panel.packs, p.data, scratch.v, tile.count, d_v, output.data,
                               rescale);
  if constexpr (rescales) scale_rows(output, tile.panel.count, d_v, rescale);
  add_product_of_visible<A>(
      output.map(tile.panel.count, d_v), p.const_map(tile.panel.count, tile.count),
      scratch.visible.const_map(tile.panel.count, tile.count), walk.values(tile.first, tile.count));
}

/// The scores of a tile and, from them, maximum and sum of its rows; exp(s - m) takes the scores'
/// place. between() runs while the scores last.
template <class Walk, class Scratch, class F>
void update_rows(const Walk& walk, const KeyTile& tile, const Scratch& scratch, F&& between) {
  std::copy_n(scratch.online.maximum + tile.panel.first, panel_rows<typename Walk::A>(tile.panel),
              scratch.maximum);
  walk.scores(tile, scratch.maximum);
  between();
  scratch.online.update(walk.scratch().s, tile.panel, tile.count, scratch.maximum,
                        walk.may_hide(tile));
}

/// Maximum and sum of all visible scores of a block.
template <class Walk, class Scratch>
void gather_sums(const Walk& walk, const Scratch& scratch) {
  scratch.online.start(walk.block().count);
  walk.for_each_tile([](Index, Index) {},
                     [&](const KeyTile& tile) { update_rows(walk, tile, scratch, [] {}); });
}

/// Shift and threshold of all rows of a block, by way of all its scores.
template <class Walk, class Scratch>
void gather_thresholds(const Walk& walk, const Scratch& scratch) {
  using A = typename Walk::A;
  using Normalizer = typename std::remove_cvref_t<decltype(walk.call().program)>::NormalizerPart;
  const Index n_k = walk.call().in.n_k(), queries = walk.block().count;
  const PaddedTile<A>& all = scratch.all_scores;
  std::fill_n(all.data, all.stride * n_k, minus_infinity<A>);
  walk.for_each_tile([](Index, Index) {},
                     [&](const KeyTile& tile) {
                       walk.scores(tile, scratch.maximum);  // of which the maximum is not used
                       for (Index j = 0; j < tile.count; ++j)
                         std::copy_n(walk.scratch().s.column(j), panel_rows<A>(tile.panel),
                                     all.column(tile.first + j));
                     });
  for (Index i = 0; i < queries; i += Pack<A>::width)
    find_threshold<Normalizer>(all, i, n_k, scratch.rows.shift, scratch.rows.second);
}

/// The two numbers of every row, for a walk that makes weights.
template <class Walk, class Scratch>
void gather_rows(const Walk& walk, const Scratch& scratch) {
  using Program = std::remove_cvref_t<decltype(walk.call().program)>;
  using A = typename Program::Accumulator;
  using Normalizer = typename Program::NormalizerPart;
  const RowNumbers<A>& rows = scratch.rows;
  if constexpr (Normalizer::statistic == RowStatistic::threshold) {
    gather_thresholds(walk, scratch);
  } else if constexpr (Normalizer::statistic == RowStatistic::sum_of_exp) {
    gather_sums(walk, scratch);
    std::copy_n(scratch.online.maximum, padded<A>(walk.block().count), rows.shift);
    find_factors(walk, scratch);
  } else {
    std::fill_n(rows.shift, padded<A>(walk.block().count), A(0));
    std::fill_n(rows.second, padded<A>(walk.block().count), A(0));
  }
}

/// 1 / denominator of every row; 0 for one that sees nothing.
template <class Walk, class Scratch>
void find_factors(const Walk& walk, const Scratch& scratch) {
  using A = typename Walk::A;
  for (Index i = 0; i < padded<A>(walk.block().count); ++i)
    scratch.rows.second[i] = factor_of(walk.call().program.normalizer, scratch.online.maximum[i],
                                       scratch.online.sum[i], walk.block().head);
}

/// The weights of a tile (after probability modifiers) take the place of its scores, and `hidden`
/// that of a key which is not visible.
template <class Walk, class Scratch, class A = typename Walk::A>
void make_weights(const Walk& walk, const KeyTile& tile, const Scratch& scratch, A hidden = A(0)) {
  const auto& program = walk.call().program;
  const A* shift = scratch.rows.shift + tile.panel.first;
  const A* second = scratch.rows.second + tile.panel.first;
  walk.transform_scores(tile, [&](const Pack<A>& s, const PackPosition<A>& at) {
    const Index i = at.first_query - tile.positions.first_query;
    const Pack<A> p =
        program.normalizer.probability(s, Pack<A>::load(shift + i), Pack<A>::load(second + i));
    return select(s == Pack<A>(minus_infinity<A>), Pack<A>(hidden),
                  program.modify_probability(p, at, tile.positions.extent));
  });
}

/// f(tile, careful) for every tile, with its weights in place of its scores.
template <class Walk, class Scratch, class F>
void for_each_weights(const Walk& walk, const Scratch& scratch, F&& f) {
  bool careful = false;
  walk.for_each_tile(
      [&](Index first, Index count) { careful = pack_values(walk, first, count, scratch.v); },
      [&](const KeyTile& tile) {
        walk.scores(tile, scratch.maximum);  // likewise
        if (careful) note_visible(walk, tile, scratch.visible);
        make_weights(walk, tile, scratch);
        f(tile, careful);
      });
}

/// O of a block, each row multiplied by its factor where there are any, goes to where it belongs.
template <class Walk, class Scratch, class T>
void write_output(const Walk& walk, const Scratch& scratch, bool scales, const TensorView<T>& to) {
  using A = typename Walk::A;
  if (!to.data) return;
  const QueryBlock& block = walk.block();
  const Slice<T> slice(to, block.batch, block.head);
  for (Index p = 0; p < walk.panels().count(); ++p) {
    const Panel panel = walk.panels()[p];
    const PaddedTile<A> output = scratch.output_of(panel, slice.features);
    if (scales) scale_rows(output, panel.count, slice.features, scratch.rows.second + panel.first);
    write_tokens(Operand<A>(output.const_map(panel.count, slice.features)), slice,
                 block.first + panel.first, walk.scratch().staging);
  }
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
  const auto& program = walk.call().program;
  std::fill_n(scratch.output, padded<A>(walk.block().count) * grouped(walk.call().in.v.features()),
              A(0));
  scratch.online.start(walk.block().count);
  bool careful = false;
  walk.for_each_tile(
      [&](Index first, Index count) { careful = pack_values(walk, first, count, scratch.v); },
      [&](const KeyTile& tile) {
        update_rows(walk, tile, scratch, [&] {
          if (careful) note_visible(walk, tile, scratch.visible);
        });
        if constexpr (std::remove_cvref_t<decltype(program)>::prob_count > 0)
          walk.transform_scores(tile, [&](const Pack<A>& p, const PackPosition<A>& at) {
            return program.modify_probability(p, at, tile.positions.extent);
          });
        add_output<true>(walk, tile, scratch, careful);
      });
  find_factors(walk, scratch);
  write_output(walk, scratch, true, out.output);
  write_log_sum_exp(scratch.online, out.log_sum_exp, walk.block());
}

/// Zeroes the rows of a block in the weights.
template <class Walk, class Out>
void clear_weights(const Walk& walk, const Out& out) {
  if constexpr (has_weights<Out>) {
    const QueryBlock& block = walk.block();
    if (out.weights.data)
      tokens_of(out.weights, block.batch, block.head)
          .visit_rows(block.first, block.count, [](auto rows) { rows.setZero(); });
  }
}

/// Writes the weights of a tile to where they belong.
template <class Walk, class Out>
void write_weights(const Walk& walk, const KeyTile& tile, const Out& out) {
  if constexpr (has_weights<Out>) {
    const QueryBlock& block = walk.block();
    const Panel& panel = tile.panel;
    if (out.weights.data)
      tokens_of(out.weights, block.batch, block.head)
          .visit_rows(block.first + panel.first, panel.count, [&](auto rows) {
            using T = typename decltype(rows)::Scalar;
            rows.middleCols(tile.first, tile.count) =
                walk.scratch().s.const_map(panel.count, tile.count).template cast<T>();
          });
  }
}

/// Two walks: the numbers of the rows, then the weights.
template <class Walk, class Scratch, class Out>
void forward_two_walks(const Walk& walk, const Scratch& scratch, const Out& out) {
  using A = typename Walk::A;
  using Normalizer = typename std::remove_cvref_t<decltype(walk.call().program)>::NormalizerPart;
  const QueryBlock& block = walk.block();
  if (Normalizer::statistic != RowStatistic::sum_of_exp && out.log_sum_exp.data)
    gather_sums(walk, scratch);
  gather_rows(walk, scratch);
  write_log_sum_exp(scratch.online, out.log_sum_exp, block);
  std::fill_n(scratch.output, padded<A>(block.count) * grouped(walk.call().in.v.features()), A(0));
  clear_weights(walk, out);
  for_each_weights(walk, scratch, [&](const KeyTile& tile, bool careful) {
    if (out.output.data) add_output<false>(walk, tile, scratch, careful);
    write_weights(walk, tile, out);
  });
  write_output(walk, scratch, false, out.output);
}

/// Binds the parts to the accumulator type, in an arena that all tasks share. f(arena, call).
template <class T, class Tokens, class Program, class F>
void lay_out_call(const Inputs<T, Tokens>& in, const Program& program, Arena arena, F&& f) {
  using A = typename Program::Accumulator;
  using Normalizer = typename Program::NormalizerPart;
  const Index d = in.q.features();
  auto score = bind_score<A>(program.score, d, arena);
  using C = Call<T, Program, decltype(score), Tokens>;
  A* keys = arena.take<A>(C::projected_count(in, score));
  f(arena, C{in, program, score,
             call_tiles<A, Normalizer>(
                 std::max({d, score.query_width(d, in.k.features()), in.k.features()}),
                 in.v.features(), in.n_q(), in.n_k(), Program::has_masks),
             keys});
}

/// The same in the workspace. f(call).
template <class T, class Tokens, class Program, class F>
void with_call(const Inputs<T, Tokens>& in, const Program& program, Workspace& workspace, F&& f) {
  std::size_t bytes = 0;
  lay_out_call(in, program, Arena(),
               [&](const Arena& arena, const auto&) { bytes = arena.used(); });
  lay_out_call(in, program, Arena(workspace.shared(bytes)),
               [&](const Arena&, const auto& call) { f(call); });
}

/// Transforms the keys of every batch and key head where the score function wants that.
template <class C, class Executor>
void project_all_keys(const C& call, const Executor& executor, Workspace& workspace) {
  if constexpr (decltype(call.score)::projects_keys) {
    using A = typename C::A;
    const Index heads = call.in.k.heads();
    executor.run(call.in.k.batches() * heads, [&](Index task, Index worker) {
      Arena arena(workspace.worker(worker));
      A* staging = arena.take<A>(call.staging_size());
      call.project_keys(task / heads, task % heads, staging, arena.take<A>(call.staging_size()));
    });
  }
}

/// Whether the call has a path of its own, for a few numbers or for few queries; if so, it has been
/// taken.
template <class T, class Tokens, class Program, class Executor, class Out>
bool ran_small(const Inputs<T, Tokens>& in, const Program& program, const Executor& executor,
               Workspace& workspace, const Out& out) {
  using A = typename Program::Accumulator;
  const ForwardPath path = forward_path<Program>(in);
  if constexpr (may_loop<T, Tokens, Program>) {
    if (path == ForwardPath::loops) {
      Arena unused;
      run_tiny(in, bind_score<A>(program.score, in.q.features(), unused).factor(),
               program.normalizer, out);
      return true;
    }
  }
  if constexpr (may_be_small<T, Tokens, Program>) {
    if (path == ForwardPath::small) {
      Arena unused;
      run_small(in, bind_score<A>(program.score, in.q.features(), unused).factor(),
                program.normalizer, executor, workspace, out);
      return true;
    }
  }
  // Decoding keeps scores where weights belong, which takes numbers of the accumulator type.
  if constexpr (may_decode<Program> && (!has_weights<Out> || std::is_same_v<T, A>)) {
    if (path == ForwardPath::decoding) {
      with_decode_call(in, program, workspace,
                       [&](const auto& call) { run_decode(call, executor, workspace, out); });
      return true;
    }
  }
  return false;
}

/// Blocks small enough for several tasks a worker, as long as packing pays for them. The arithmetic
/// of a row does not depend on the block that it is in, so this changes no bit; a transformation of
/// queries, done for a panel of a block at once, might.
template <class C, class Executor>
void share_out(C& call, const Executor& executor) {
  using A = typename C::A;
  if constexpr (decltype(call.score)::projects_queries) return;
  constexpr Index tasks_each = 4, least_queries = (direct_panels + 1) * panel_width<A>;
  const Index heads = call.in.q.batches() * call.in.q.heads(), n_q = call.in.n_q();
  const Index workers = executor.workers(heads * (n_q / least_queries));
  if (workers == 1 || heads == 0) return;
  const Index wanted = (tasks_each * workers + heads - 1) / heads;
  const Index blocks = std::clamp<Index>(n_q / least_queries, 1, wanted);
  call.tiles.queries = std::min(call.tiles.queries, padded<A>((n_q + blocks - 1) / blocks));
}

/// f(scratch, task) for every task, once the keys are transformed; scratch is that of a worker.
template <class C, class Executor, class F>
void run_tasks(const C& call, Index tasks, const Executor& executor, Workspace& workspace, F&& f) {
  using Program = std::remove_cvref_t<decltype(call.program)>;
  using Scratch = ForwardScratch<typename C::A, typename Program::NormalizerPart>;
  Arena measure;
  [[maybe_unused]] const Scratch sized(measure, call);
  const Index key_heads = call.in.k.batches() * call.in.k.heads();
  workspace.prepare(executor.workers(std::max(tasks, key_heads)), measure.used());
  project_all_keys(call, executor, workspace);
  executor.run(tasks, [&](Index task, Index worker) {
    Arena arena(workspace.worker(worker));
    f(Scratch(arena, call), task);
  });
}

/// The same call with values of no features, for weights alone.
template <class T>
Inputs<T> without_values(Inputs<T> in) {
  in.v.shape[3] = 0;
  return in;
}

/// out: Outputs or WeightedOutputs.
template <class T, class Tokens, class Program, class Executor, class Out>
void run_forward(const Inputs<T, Tokens>& in, const Program& program, const Executor& executor,
                 Workspace& workspace, const Out& out) {
  if constexpr (has_weights<Out>)
    if (!out.output.data && in.v.features() > 0)
      return run_forward(without_values(in), program, executor, workspace, out);
  if (ran_small(in, program, executor, workspace, out)) return;
  with_call(in, program, workspace, [&](auto call) {
    using C = decltype(call);
    share_out(call, executor);
    run_tasks(call, call.tasks(), executor, workspace, [&](const auto& scratch, Index task) {
      const TileWalk<T, Program, decltype(C::score), Tokens> walk(call, scratch.walk,
                                                                  call.block(task));
      if constexpr (walks_once<Program> && !has_weights<Out>)
        forward_fused(walk, scratch, out);
      else
        forward_two_walks(walk, scratch, out);
    });
  });
}

}  // namespace engine
ATTN_END_NAMESPACE
