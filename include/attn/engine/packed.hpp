// SPDX-License-Identifier: Apache-2.0
// Packed sequences: each runs as a call of its own on its part of Q, K, V and the results.
//
//     offsets -> views of one sequence, and the program for its batch and sizes -> run_forward,
//     run_backward
//
// Sequences are the tasks of an executor, so many short ones cost one start of its threads and the
// scratch of one sequence a worker. A sequence that is a large share of the work has the executor
// for itself instead. Who does what changes no bit, as every call has the same for any executor.
#pragma once

#include <algorithm>
#include <limits>
#include <type_traits>
#include <vector>

#include <attn/config.hpp>
#include <attn/engine/backward.hpp>
#include <attn/engine/forward.hpp>
#include <attn/engine/panel.hpp>
#include <attn/engine/parts.hpp>
#include <attn/engine/tile_walk.hpp>
#include <attn/executor.hpp>
#include <attn/packed_sequences.hpp>
#include <attn/tensor_view.hpp>
#include <attn/workspace.hpp>

ATTN_BEGIN_NAMESPACE
namespace engine {

/// The tokens of one sequence. A view of nothing stays one.
template <class U>
TensorView<U> cut_tokens(TensorView<U> view, const TokenRange& tokens) {
  if (!view.data) return view;
  view.data = view.pointer(0, 0, tokens.first);
  view.shape[2] = tokens.count;
  return view;
}

/// One sequence of packed Q, K and V.
template <class T>
struct Sequence {
  Index batch;
  TokenRange queries;
  TokenRange keys;
  Inputs<T> in;

  Sequence(const Inputs<T>& all, const CumulativeLengths& packed, Index b)
      : batch(b), queries(packed.queries(b)), keys(packed.keys(b)), in(all) {
    // Matrices of no columns may have no data, and still have tokens.
    in.q.shape[2] = queries.count;
    in.k.shape[2] = in.v.shape[2] = keys.count;
    in.q = cut_tokens(in.q, queries);
    in.k = cut_tokens(in.k, keys);
    in.v = cut_tokens(in.v, keys);
  }

  template <class Program>
  Program program(const Program& of_call) const {
    Program own = of_call;
    own.n_q = queries.count;
    own.n_k = keys.count;
    own.first_batch = batch;
    return own;
  }

  /// Of weights, a block: the queries by rows, the keys by columns.
  template <class U>
  TensorView<U> block_of(TensorView<U> weights) const {
    if (!weights.data) return weights;
    weights.data += keys.first * weights.strides[3];
    weights.shape[3] = keys.count;
    return cut_tokens(weights, queries);
  }
};

/// f(queries, keys) of each packed sequence, or of all tokens where none are packed.
template <class U, class F, class... Parts>
void for_each_sequence_of(const char* name, const TensorView<U>& q, const TensorView<U>& k, F&& f,
                          [[maybe_unused]] const Parts&... parts) {
  if constexpr (is_packed<Parts...>) {
    const CumulativeLengths& packed = part_of<role::sequences>(nullptr, parts...);
    packed.check_fits(name, q.batches(), q.tokens(), k.tokens());
    for (Index b = 0; b < packed.count(); ++b)
      f(cut_tokens(q, packed.queries(b)), cut_tokens(k, packed.keys(b)));
  } else {
    f(q, k);
  }
}

/// Whether a sequence is better shared among the workers than given to one: alone it would keep
/// the others waiting, and it is worth the start of threads.
struct LongSequence {
  const CumulativeLengths& packed;
  Index pair_products;  ///< multiply-adds for a query and a key
  Index all_products = 0;
  Index workers;

  template <class T>
  LongSequence(const CumulativeLengths& sequences, const Inputs<T>& in, Index workers_of_call)
      : packed(sequences),
        pair_products(in.q.heads() * (in.q.features() + in.v.features())),
        workers(workers_of_call) {
    for (Index b = 0; b < packed.count(); ++b) all_products += products(b);
  }
  Index products(Index b) const {
    return packed.queries(b).count * packed.keys(b).count * pair_products;
  }
  bool operator()(Index b) const {
    constexpr Index worth_threads = Index(1) << 23;  // about 0.2 ms of work, 5 starts of a thread
    return products(b) >= worth_threads && products(b) > all_products / (4 * workers);
  }
};

/// f(sequence, executor, workspace) for every sequence that has tokens to write.
template <class T, class Executor, class F>
void for_each_sequence(const Inputs<T>& in, const CumulativeLengths& packed,
                       const Executor& executor, Workspace& workspace, F&& f) {
  const Index count = packed.count();
  const Index workers = executor.workers(std::numeric_limits<Index>::max());
  const auto run = [&](Index b, const auto& by, Workspace& scratch) {
    f(Sequence<T>(in, packed, b), by, scratch);
  };
  if constexpr (!std::is_same_v<Executor, CallingThread>) {
    if (workers > 1) {
      const LongSequence is_long(packed, in, workers);
      for (Index b = 0; b < count; ++b)
        if (is_long(b)) run(b, executor, workspace);
      workspace.prepare_inner(executor.workers(count));
      executor.run(count, [&](Index b, Index worker) {
        if (!is_long(b)) run(b, CallingThread{}, workspace.inner(worker));
      });
      return;
    }
  }
  for (Index b = 0; b < count; ++b) run(b, CallingThread{}, workspace);
}

template <class U>
void set_zero(const TensorView<U>& view) {
  for (Index b = 0; b < view.batches(); ++b)
    for (Index h = 0; h < view.heads(); ++h)
      Slice<U>(view, b, h).visit_rows(0, view.tokens(), [](auto rows) { rows.setZero(); });
}

template <class T, class Program, class Executor, class Out>
void run_packed_forward(const Inputs<T>& in, const CumulativeLengths& packed,
                        const Program& program, const Executor& executor, Workspace& workspace,
                        const Out& out) {
  if constexpr (has_weights<Out>)
    if (out.weights.data) set_zero(out.weights);
  for_each_sequence(in, packed, executor, workspace,
                    [&](const Sequence<T>& one, const auto& by, Workspace& scratch) {
                      Out mine = out;
                      mine.output = cut_tokens(out.output, one.queries);
                      mine.log_sum_exp = cut_tokens(out.log_sum_exp, one.queries);
                      if constexpr (has_weights<Out>) mine.weights = one.block_of(out.weights);
                      run_forward(one.in, one.program(program), by, scratch, mine);
                    });
}

/// Adds to `gradients` in the order of the sequences. Where each of them cannot have a set of its
/// own, because there are too many parameters, they run one after the other.
template <class T, class Program, class Executor>
void run_packed_backward(const Inputs<T>& in, const CumulativeLengths& packed,
                         const Program& program, const Executor& executor, Workspace& workspace,
                         const BackwardViews<T, typename Program::Accumulator>& views,
                         typename Program::Gradients& gradients) {
  using A = typename Program::Accumulator;
  const auto backward = [&](const Sequence<T>& one, const auto& by, Workspace& scratch, auto& g) {
    const TokenRange &q = one.queries, &k = one.keys;
    run_backward(one.in, one.program(program), by, scratch,
                 BackwardViews<T, A>{cut_tokens(views.output, q), cut_tokens(views.log_sum_exp, q),
                                     cut_tokens(views.d_output, q), cut_tokens(views.d_query, q),
                                     cut_tokens(views.d_key, k), cut_tokens(views.d_value, k)},
                 g);
  };
  const Index parameters = gradients.size();
  if (parameters > most_set_numbers / std::max<Index>(packed.count(), 1)) {
    for_each_sequence(in, packed, CallingThread{}, workspace,
                      [&](const Sequence<T>& one, const auto& by, Workspace& scratch) {
                        backward(one, by, scratch, gradients);
                      });
    return;
  }
  std::vector<typename Program::Gradients> own;
  if (parameters > 0)
    own.assign(static_cast<std::size_t>(packed.count()), program.zero_gradients());
  for_each_sequence(in, packed, executor, workspace,
                    [&](const Sequence<T>& one, const auto& by, Workspace& scratch) {
                      backward(one, by, scratch,
                               own.empty() ? gradients : own[static_cast<std::size_t>(one.batch)]);
                    });
  for (auto& of_one : own) gradients.add(of_one);
}

}  // namespace engine
ATTN_END_NAMESPACE
