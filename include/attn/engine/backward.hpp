// SPDX-License-Identifier: Apache-2.0
// The backward pass: gradients of Q, K, V and of every parameter of every part, in O(n) memory.
//
// P is computed again, tile by tile, from the scores and L (Dao 2023, algorithm 2):
//
//     dV = P'^T dO    dP' = dO V^T    dP = dP' through the probability modifiers
//     dS = J(P) o (dP - D)            dS through the score modifiers
//     dQ = dS K       dK = dS^T Q     and on through the score function's own transformation
//
// Five products, 10 n_q n_k d flops. Keys are cut into ranges by their number alone. A task is some
// ranges of the keys of one key-value head with all query heads that read it, so that dK and dV are
// its own; dQ is summed over ranges in their order (turns.hpp), so results are the same for any
// number of threads, and for any number of other heads and batches. Small heads of plain products
// go another way (small_backward.hpp), and so do very few queries (row_backward.hpp).
#pragma once

#include <algorithm>
#include <type_traits>
#include <utility>

#include <attn/config.hpp>
#include <attn/engine/backward_block.hpp>
#include <attn/engine/forward.hpp>
#include <attn/engine/packing.hpp>
#include <attn/engine/panel.hpp>
#include <attn/engine/row_backward.hpp>
#include <attn/engine/small_backward.hpp>
#include <attn/engine/tile_walk.hpp>
#include <attn/engine/turns.hpp>
#include <attn/executor.hpp>
#include <attn/workspace.hpp>

ATTN_BEGIN_NAMESPACE
namespace engine {

/// dK and dV of a range of keys, from what its queries have added up.
template <class C, class Scratch, class Sizes, class T, class Gradients>
void finish_keys(const C& call, const Scratch& scratch, const Sizes& sizes,
                 const BackwardViews<T, typename C::A>& views, Index b, Index c,
                 const KeyRange& range, Gradients& gradients) {
  using A = typename C::A;
  const Slice<T> d_key(views.d_key, b, c), d_value(views.d_value, b, c);
  write_tokens(Operand<A>(scratch.d_values, range.count, d_value.features, sizes.value, true),
               d_value, range.first, scratch.walk.staging);
  const Index width = call.key_width();
  const Operand<A> all =
      decltype(call.score)::is_product
          ? Operand<A>(scratch.d_keys, range.count, width, sizes.key, true)
          : Operand<A>(scratch.d_keys, range.count, width, sizes.range_keys, false);
  if constexpr (!decltype(call.score)::projects_keys) {
    write_tokens(all, d_key, range.first, scratch.walk.staging);
  } else {
    const Slice<const T> keys(call.in.k, b, c);
    for (Index j = 0; j < range.count; j += call.tiles.keys) {
      const Index count = std::min(call.tiles.keys, range.count - j);
      const Eigen::OuterStride<> stride(count);
      pack(all.middle_rows(j, count), count, scratch.d_columns);
      const TileMap<A> dk(scratch.d_raw, count, keys.features, stride);
      call.score.project_key_backward(
          load_columns<A>(keys, range.first + j, count, scratch.walk.staging, scratch.walk.raw),
          ConstTileMap<A>(scratch.d_columns, count, width, stride), dk, gradients);
      write_tokens(Operand<A>(dk.data(), count, keys.features, count, false), d_key,
                   range.first + j, scratch.walk.staging);
    }
  }
}

/// dQ' of all blocks, summed over ranges of keys; not needed where there is one range.
template <class A>
struct QuerySums {
  A* data;
  Index block_size;
  Turns& turns;
  Index ranges;

  /// Adds a block's part in its turn. True for the last range, which then holds the sum.
  bool add(Index block, Index range, A* part) const {
    if (ranges == 1) return true;
    if (!turns.wait(block, range)) return false;
    A* total = data + block * block_size;
    if (range > 0)
      for (Index k = 0; k < block_size; k += Pack<A>::width)
        (Pack<A>::load(total + k) + Pack<A>::load(part + k)).store(part + k);
    if (range + 1 < ranges) std::copy_n(part, block_size, total);
    turns.pass(block);
    return range + 1 == ranges;
  }
};

/// All queries that read key-value head c of batch b, against a range of its keys.
template <class T, class C, class Scratch, class Sizes, class Gradients>
void backward_range(const C& call, const Scratch& scratch, const Sizes& sizes,
                    const BackwardViews<T, typename C::A>& views, Index b, Index c, Index range,
                    const QuerySums<typename C::A>& sums, Gradients& gradients) {
  using A = typename C::A;
  using Walk = TileWalk<T, std::remove_cvref_t<decltype(call.program)>, decltype(C::score)>;
  const KeyRange keys{range * sizes.range_keys,
                      std::min(sizes.range_keys, call.in.n_k() - range * sizes.range_keys)};
  std::fill_n(scratch.d_keys, sizes.range_keys * sizes.key, A(0));
  std::fill_n(scratch.d_values, sizes.range_keys * sizes.value, A(0));
  const Index group = call.in.q.heads() / call.in.k.heads(), blocks = call.query_blocks();
  for (Index h = c * group; h < (c + 1) * group; ++h)
    for (Index k = 0; k < blocks; ++k) {
      const Index block = (b * call.in.q.heads() + h) * blocks + k;
      const Walk walk(call, scratch.walk, call.block(block), keys);
      BlockBackward<Walk, Scratch, T, Gradients> backward(walk, scratch, sizes, views, gradients);
      backward.run();
      if (sums.add(block, range, scratch.d_query)) backward.finish_queries();
    }
  finish_keys(call, scratch, sizes, views, b, c, keys, gradients.template at<0>());
}

/// Neighbouring ranges of one key-value head.
template <class T, class C, class Scratch, class Sizes, class Gradients>
void backward_task(const C& call, const Scratch& scratch, const Sizes& sizes,
                   const BackwardViews<T, typename C::A>& views, Index task,
                   const QuerySums<typename C::A>& sums, Gradients& gradients) {
  const Index heads = call.in.k.heads(), head_tasks = sizes.head_tasks();
  const Index head = task / head_tasks, first = task % head_tasks * sizes.task_ranges;
  for (Index range = first; range < std::min(first + sizes.task_ranges, sizes.ranges); ++range)
    backward_range(call, scratch, sizes, views, head / heads, head % heads, range, sums, gradients);
}

/// Numbers of all the sets of gradients of parameters that tasks add up for themselves: 4 MiB of
/// float.
inline constexpr Index most_set_numbers = Index(1) << 20;

/// In how many sets `tasks` add up the gradients of parameters, each set for tasks that follow one
/// another. Few, since every set has all parameters, and none whose sum would cost more than some
/// percent of its part of the `products`.
inline Index gradient_sets(Index tasks, Index parameters, Index products) {
  constexpr Index most_sets = 16, products_a_number = 64;
  if (parameters == 0) return tasks;
  const Index most = std::min(
      {most_sets, tasks, most_set_numbers / parameters, products / products_a_number / parameters});
  return std::max<Index>(most, 1);
}

template <class T, class Program, class Executor>
void run_backward_tiles(const Inputs<T>& in, const Program& program, const Executor& executor,
                        Workspace& workspace,
                        const BackwardViews<T, typename Program::Accumulator>& views,
                        typename Program::Gradients& gradients) {
  using A = typename Program::Accumulator;
  using Scratch = BackwardScratch<A, typename Program::NormalizerPart>;
  with_call(in, program, workspace, [&](auto call) {
    call.tiles = limited<A>(call.tiles, backward_panels);
    const BackwardSizes sizes(call);
    const Index tasks = in.k.batches() * in.k.heads() * sizes.head_tasks();
    const Index parameters = gradients.size();
    const Index sets = gradient_sets(tasks, parameters, call.products());
    std::vector<typename Program::Gradients> own;
    if (parameters > 0 && sets > 1)
      own.assign(static_cast<std::size_t>(sets), program.zero_gradients());
    Arena measure;
    [[maybe_unused]] const Scratch sized(measure, call, sizes);
    workspace.prepare(executor.workers(std::max(sets, in.k.batches() * in.k.heads())),
                      measure.used());
    project_all_keys(call, executor, workspace);
    const Index block_size = call.tiles.queries * grouped(call.query_width());
    const Index summed_blocks = sizes.ranges > 1 ? call.tasks() : 0;
    Turns turns(summed_blocks);
    const QuerySums<A> query_sums{
        reinterpret_cast<A*>(
            workspace.sums(static_cast<std::size_t>(summed_blocks * block_size) * sizeof(A))),
        block_size, turns, sizes.ranges};
    executor.run(sets, [&](Index set, Index worker) {
      Arena arena(workspace.worker(worker));
      const Scratch scratch(arena, call, sizes);
      FailTurns guard{turns};
      auto& of_set = own.empty() ? gradients : own[static_cast<std::size_t>(set)];
      for (Index task = set * tasks / sets; task < (set + 1) * tasks / sets; ++task)
        backward_task(call, scratch, sizes, views, task, query_sums, of_set);
      guard.done = true;
    });
    for (auto& of_set : own) gradients.add(of_set);
  });
}

/// What the parts allow besides tiles: softmax of scaled products, masked or not.
template <class Program>
inline constexpr bool may_leave_tiles =
    has_plain_products<Program>&& std::is_same_v<typename Program::NormalizerPart, Softmax>;

/// Writes the gradients of Q, K and V and adds those of parameters to `gradients`, in an order that
/// the sizes alone fix.
template <class T, class Program, class Executor>
void run_backward(const Inputs<T>& in, const Program& program, const Executor& executor,
                  Workspace& workspace,
                  const BackwardViews<T, typename Program::Accumulator>& views,
                  typename Program::Gradients& gradients) {
  using A = typename Program::Accumulator;
  if constexpr (may_leave_tiles<Program>) {
    Arena unused;
    const A scale = bind_score<A>(program.score, in.q.features(), unused).factor();
    // The gradient of a scale of 0 is left to tiles: elsewhere scores have it in them.
    if (in.n_q() > 0 && in.n_k() > 0 && in.q.heads() == in.k.heads() && scale != 0) {
      const bool small = is_small_backward<Program>(in);
      if (in.n_q() <= most_row_queries<A>(small))
        return run_row_backward(in, program, scale, executor, workspace, views,
                                gradients.template at<0>());
      if (small)
        return run_small_backward(in, program, scale, executor, workspace, views,
                                  gradients.template at<0>());
    }
  }
  run_backward_tiles(in, program, executor, workspace, views, gradients);
}

}  // namespace engine
ATTN_END_NAMESPACE
