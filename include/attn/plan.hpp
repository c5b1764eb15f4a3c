// SPDX-License-Identifier: Apache-2.0
// What a call will do before it does it: its path, its tiles, its threads, and what keeps it from a
// faster path. No path is slow in silence.
//
//     std::cout << attn::plan(Q, K, V, attn::Causal{}, attn::Heads{8});
#pragma once

#include <algorithm>
#include <cstddef>
#include <limits>
#include <ostream>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include <attn/concepts.hpp>
#include <attn/config.hpp>
#include <attn/engine/fixed.hpp>
#include <attn/engine/front.hpp>
#include <attn/engine/plan_reasons.hpp>
#include <attn/engine/row_kernel.hpp>
#include <attn/engine/small.hpp>

ATTN_BEGIN_NAMESPACE

/// What attn::plan found. Numbers are those of the whole call, all batches and heads.
///
/// A tile is what a mask is asked about at once: up to tile_queries queries of one head (decoding:
/// of all heads that share keys) against up to tile_keys keys.
struct Plan {
  enum class Path {
    fixed,     ///< sizes known to the compiler: unrolled products, unless scores are far from zero
    loops,     ///< plain loops for a few numbers
    small,     ///< panels of queries against all keys at once, where they lie
    decoding,  ///< few queries: lanes along the features, K and V read once for a group of heads
    one_walk,  ///< tiles, with sums and outputs growing together (online softmax)
    two_walks  ///< tiles, with what the rows need first and then the weights
  };

  Path path = Path::loops;
  Index batches = 0, heads = 0, key_heads = 0;
  Index n_q = 0, n_k = 0, d = 0, d_v = 0;

  Index block_queries = 0;  ///< for which keys are packed once; a task takes one block
  Index tile_queries = 0;
  Index tile_keys = 0;
  Index kernel_rows = 0;  ///< of the micro-kernel, which keeps rows x columns of a product in
  Index kernel_cols = 0;  ///< registers: queries x keys
  Index lanes = 1;        ///< numbers of the accumulator type in a packet
  const char* instructions = "";

  Index threads = 1;  ///< that have work
  Index tasks = 0;
  Index empty_tiles = 0;          ///< never touched
  Index full_tiles = 0;           ///< pay nothing for the masks
  Index mixed_tiles = 0;          ///< ask the masks packet by packet, or score by score
  std::size_t scratch_bytes = 0;  ///< of all threads, beside Q, K, V and O

  std::vector<std::string> parts;         ///< in the order of the pipeline
  std::vector<std::string> scalar_parts;  ///< computed with number by number, not by packets
  std::vector<std::string> reasons;       ///< sentences: why no faster path is taken
};

/// A name of a path, as it is printed.
inline const char* to_string(Plan::Path path) {
  switch (path) {
    case Plan::Path::fixed:
      return "products of the sizes in the types";
    case Plan::Path::loops:
      return "plain loops";
    case Plan::Path::small:
      return "a panel of queries against all keys at once";
    case Plan::Path::decoding:
      return "decoding, lanes along the features";
    case Plan::Path::one_walk:
      return "tiles, one walk over the keys";
    case Plan::Path::two_walks:
      return "tiles, two walks over the keys";
  }
  return "";
}

/// Some lines for people.
inline std::ostream& operator<<(std::ostream& out, const Plan& p) {
  const auto list = [&](const char* title, const auto& items, const char* between) {
    for (std::size_t k = 0; k < items.size(); ++k) out << (k == 0 ? title : between) << items[k];
    if (!items.empty()) out << '\n';
  };
  out << "attention of " << p.n_q << " queries over " << p.n_k << " keys, d " << p.d << ", d_v "
      << p.d_v << ", heads " << p.heads << " on " << p.key_heads << ", batches " << p.batches
      << "\n  path     " << to_string(p.path) << '\n';
  if (p.path != Plan::Path::loops && p.path != Plan::Path::fixed)
    out << "  tiles    " << p.tile_queries << " queries x " << p.tile_keys << " keys, "
        << p.block_queries << " queries a block: " << p.empty_tiles << " empty, " << p.full_tiles
        << " full, " << p.mixed_tiles << " mixed\n  kernel   " << p.kernel_rows << " x "
        << p.kernel_cols << " products in registers, ";
  else
    out << "  kernel   ";
  out << p.lanes << " numbers a packet (" << p.instructions << ")\n  work     " << p.tasks
      << (p.tasks == 1 ? " task, " : " tasks, ") << p.threads
      << (p.threads == 1 ? " thread, " : " threads, ") << (p.scratch_bytes + 1023) / 1024
      << " KiB of scratch\n";
  list("  parts    ", p.parts, ", ");
  list("  scalar   ", p.scalar_parts, ", ");
  list("  slower because\n    - ", p.reasons, "\n    - ");
  return out;
}

namespace engine {

inline void count_tile(Plan& plan, Verdict verdict, Index tiles) {
  (verdict == Verdict::full ? plan.full_tiles : plan.mixed_tiles) += tiles;
}

/// The tiles of a call that goes by tiles, its tasks and scratch.
template <class T, class Program, class Executor>
void plan_tiles(const Inputs<T>& in, const Program& program, const Executor& executor, Plan& plan) {
  using A = typename Program::Accumulator;
  plan.path = walks_once<Program> ? Plan::Path::one_walk : Plan::Path::two_walks;
  plan.kernel_rows = panel_width<A>;
  plan.kernel_cols = key_group;
  lay_out_call(in, program, Arena(), [&](const Arena& shared, auto call) {
    share_out(call, executor);
    Arena own;
    [[maybe_unused]] const ForwardScratch<A, typename Program::NormalizerPart> sized(own, call);
    const Index key_tiles = (in.n_k() + call.tiles.keys - 1) / call.tiles.keys;
    plan.block_queries = std::max(plan.block_queries, call.tiles.queries);
    plan.tile_keys = std::max(plan.tile_keys, call.tiles.keys);
    plan.tasks += call.tasks();
    plan.threads = std::max(plan.threads, executor.workers(call.tasks()));
    plan.scratch_bytes = std::max(
        plan.scratch_bytes, shared.used() + own.used() * static_cast<std::size_t>(plan.threads));
    for (Index task = 0; task < call.tasks(); ++task) {
      const QueryBlock block = call.block(task);
      const Panels<A> panels(block.count);
      Index seen = 0;
      const auto count = [&](Verdict verdict, Index tiles) {
        count_tile(plan, verdict, tiles);
        seen += tiles;
      };
      for (Index p = 0; p < panels.count(); ++p)
        plan.tile_queries = std::max(plan.tile_queries, panels[p].count);
      call.for_each_key_tile(block, 0, in.n_k(), [&](Index first, Index keys, Verdict of_block) {
        if (of_block == Verdict::full) return count(of_block, panels.count());
        for (Index p = 0; p < panels.count(); ++p) {
          const Verdict verdict =
              program.verdict(call.tile_of(block, panels[p].first, panels[p].count, first, keys));
          if (verdict != Verdict::empty) count(verdict, 1);
        }
      });
      plan.empty_tiles += panels.count() * key_tiles - seen;
    }
  });
}

/// The same for small heads, each of which is a task.
template <class T, class Executor>
void plan_small(const Inputs<T>& in, const Executor& executor, Plan& plan) {
  using A = Accumulator<T>;
  const Panels<A> panels(in.n_q());
  const Index heads = in.q.batches() * in.q.heads();
  Arena own;
  [[maybe_unused]] const SmallScratch<A> sized(own, in, Outputs<T, A>());
  plan.path = Plan::Path::small;
  plan.kernel_rows = panel_width<A>;
  plan.kernel_cols = key_group;
  plan.block_queries = std::max(plan.block_queries, in.n_q());
  plan.tile_keys = std::max(plan.tile_keys, in.n_k());
  if (panels.count() > 0) plan.tile_queries = std::max(plan.tile_queries, panels[0].count);
  plan.full_tiles += heads * panels.count();
  plan.tasks += heads;
  plan.threads = std::max(plan.threads, executor.workers(heads));
  plan.scratch_bytes =
      std::max(plan.scratch_bytes, own.used() * static_cast<std::size_t>(plan.threads));
}

/// The same for a call that is decoded.
template <class T, class Program, class Executor>
void plan_decoding(const Inputs<T>& in, const Program& program, const Executor& executor,
                   Plan& plan) {
  using A = typename Program::Accumulator;
  using Tokens = TensorView<const T>;
  const DecodePlan decode(in);
  const Index tasks = decode.walks() * decode.chunks;
  plan.path = Plan::Path::decoding;
  plan.kernel_rows = row_block;
  plan.kernel_cols = 4;
  plan.tasks += tasks;
  plan.threads = std::max(plan.threads, executor.workers(tasks));
  plan.tile_keys = std::max(plan.tile_keys, decode.tile_keys());
  plan.block_queries = plan.tile_queries = std::max(plan.tile_queries, decode.heads * in.n_q());
  Arena shared, own, rows;
  const DecodeCall<T, Program, ScoreTileOf<Program>> call{
      in, program, bind_score<A>(program.score, in.q.features(), shared)};
  [[maybe_unused]] const DecodeScratch<A, Tokens> sized(own, call, decode, in.k, in.v);
  [[maybe_unused]] const DecodeRows<A> rows_sized(rows, decode.rows(), in.v.features());
  const Index partial = decode.chunks > 1 ? tasks : executor.workers(tasks);
  plan.scratch_bytes = std::max(
      plan.scratch_bytes, shared.used() + own.used() * static_cast<std::size_t>(plan.threads) +
                              rows.used() * static_cast<std::size_t>(partial));
  for (Index w = 0; w < decode.walks(); ++w)
    for (Index first = 0; first < in.n_k(); first += decode.chunk) {
      const Index keys = std::min(decode.chunk, in.n_k() - first);
      Index seen = 0;
      DecodeTiles<Program>{program, DecodeWalk(decode, w), in.n_q()}.for_each(
          first, keys, [&](Index, Index, Verdict verdict) {
            count_tile(plan, verdict, 1);
            ++seen;
          });
      plan.empty_tiles += (keys + DecodePlan::tile - 1) / DecodePlan::tile - seen;
    }
}

/// Adds a call, or one sequence of it, to a plan.
template <class T, class Program, class Executor>
ForwardPath plan_call(const Inputs<T>& in, const Program& program, const Executor& executor,
                      Plan& plan) {
  const ForwardPath path = forward_path<Program>(in);
  switch (path) {
    case ForwardPath::loops:
      plan.path = Plan::Path::loops;
      ++plan.tasks;
      break;
    case ForwardPath::small:
      plan_small(in, executor, plan);
      break;
    case ForwardPath::decoding:
      if constexpr (may_decode<Program>) plan_decoding(in, program, executor, plan);
      break;
    case ForwardPath::tiles:
      plan_tiles(in, program, executor, plan);
      break;
  }
  return path;
}

/// Sequences one behind the other, each with a path of its own; the path of the largest is told.
template <class T, class Program, class Executor>
ForwardPath plan_sequences(const Inputs<T>& in, const CumulativeLengths& packed,
                           const Program& program, const Executor& executor, Plan& plan) {
  const Index workers = executor.workers(std::numeric_limits<Index>::max());
  const LongSequence is_long(packed, in, workers);
  ForwardPath path = ForwardPath::loops;
  Plan::Path of_largest = Plan::Path::loops;
  Index largest = -1;
  bool differ = false;
  for (Index b = 0; b < packed.count(); ++b) {
    const Sequence<T> one(in, packed, b);
    const ForwardPath own = workers > 1 && is_long(b)
                                ? plan_call(one.in, one.program(program), executor, plan)
                                : plan_call(one.in, one.program(program), CallingThread{}, plan);
    const Index scores = one.in.n_q() * one.in.n_k();
    differ = differ || (b > 0 && own != path);
    if (scores <= largest) continue;
    largest = scores;
    path = own;
    of_largest = plan.path;
  }
  plan.path = of_largest;
  plan.scratch_bytes *= static_cast<std::size_t>(executor.workers(packed.count()));
  plan.threads = std::max(plan.threads, executor.workers(packed.count()));
  if (differ) plan.reasons.push_back("sequences of different lengths take different paths");
  return path;
}

/// What can be told of a call once its tiles are counted.
template <class T, class Q, class K, class V, class Program, class Executor>
void add_reasons(const Inputs<T>& in, const Program& program, const Executor& executor,
                 ForwardPath path, Plan& plan) {
  using A = typename Program::Accumulator;
  const auto name_all = [&](const auto& parts) {
    std::apply([&](const auto&... part) { (plan.parts.push_back(PartName::of(part)), ...); },
               parts);
  };
  name_all(std::tie(program.score));
  name_all(program.mods);
  name_all(program.masks);
  name_all(std::tie(program.normalizer));
  name_all(program.probs);
  add_path_reasons(in, program, path, plan.reasons);
  ScalarParts<A> scalar(program, plan.mixed_tiles > 0);
  plan.scalar_parts = std::move(scalar.names);
  plan.reasons.insert(plan.reasons.end(), scalar.reasons.begin(), scalar.reasons.end());
  add_input_reasons<T, A, Q, K, V>(in, path, plan.reasons);
  const Index wanted = executor.workers(std::numeric_limits<Index>::max());
  if (wanted > plan.threads)
    plan.reasons.push_back("threads without work: " + std::to_string(wanted - plan.threads) +
                           " of " + std::to_string(wanted) + ", as tasks are " +
                           std::to_string(plan.tasks));
  add_instruction_reasons<A>(plan.reasons);
}

}  // namespace engine

/// Tells which path attention(Q, K, V, parts...) takes and which tiles, and why no faster one.
///
/// Params   those of attention, which is checked as it would be (ShapeError, ValueError)
/// Path     chosen by the functions that the call itself asks. That of sizes in the types is
///          attention's alone, and left where |S| as a matrix reaches 64 or is not finite. Calls
///          that return the weights take the same path, those of weights alone as if V had no
///          features: tiles with two walks, and weights in 16 bits are never decoded. Packed
///          sequences each have a path; that of the largest is told, with the tiles of all
/// Cost     the masks are asked for the verdict of every tile once; nothing else is computed
/// Example  examples/explain.cpp
template <class Q, class K, class V, class... Parts>
Plan plan(const Q& q, const K& k, const V& v, Parts&&... parts) {
  Plan result;
  constexpr bool valid = engine::diagnose_call<Q, K, V, Parts...>();
  if constexpr (valid) {
    using T = typename Q::Scalar;
    const auto look = [&](const engine::Inputs<T>& in, const auto& program) {
      const auto& executor = engine::part_of<role::executor>(engine::default_executor, parts...);
      engine::check_inputs("plan", in, program, parts...);
      engine::check_part(executor, engine::CallSizes{.name = "plan"});
      result.batches = in.q.batches(), result.heads = in.q.heads();
      result.key_heads = in.k.heads(), result.n_q = in.n_q(), result.n_k = in.n_k();
      result.d = in.q.features(), result.d_v = in.v.features();
      result.lanes = engine::Pack<Accumulator<T>>::width;
      result.instructions = engine::instruction_set;
      engine::ForwardPath path = engine::ForwardPath::loops;
      if constexpr (engine::takes_fixed_path<Q, K, V, Parts...>)
        result.path = Plan::Path::fixed, result.tasks = 1;
      else if constexpr (engine::is_packed<Parts...>)
        path = engine::plan_sequences(in, engine::part_of<role::sequences>(nullptr, parts...),
                                      program, executor, result);
      else
        path = engine::plan_call(in, program, executor, result);
      engine::add_reasons<T, Q, K, V>(in, program, executor, path, result);
    };
    engine::with_inputs(
        "plan", q, k, v,
        [&](const auto& in) {
          engine::with_program<Accumulator<T>>(
              in.n_q(), in.n_k(), [&](const auto& program) { look(in, program); }, parts...);
        },
        parts...);
  }
  return result;
}

ATTN_END_NAMESPACE
