// SPDX-License-Identifier: Apache-2.0
// A call of linear attention: views checked, tasks shared out, tokens loaded and written.
//
//     each batch and key-value head: state in -> blocks of tokens: load, run, write -> state out
//
// Tasks share nothing, so the bits of a result do not depend on who runs them.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>

#include <attn/check.hpp>
#include <attn/concepts.hpp>
#include <attn/config.hpp>
#include <attn/engine/call_check.hpp>
#include <attn/engine/linear_chunk.hpp>
#include <attn/engine/overlap.hpp>
#include <attn/engine/packing.hpp>
#include <attn/engine/panel.hpp>
#include <attn/engine/recurrence.hpp>
#include <attn/tensor_view.hpp>
#include <attn/workspace.hpp>

ATTN_BEGIN_NAMESPACE
namespace engine {

/// What a call reads and writes; a view of nothing is left out. T is what tokens are stored in, S
/// what states are.
template <class T, class S>
struct LinearViews {
  TensorView<T> output{};       ///< {batch, query head, token, d_v}
  TensorView<const T> q{};      ///< {batch, query head, token, d_k}
  TensorView<const T> k{};      ///< {batch, key-value head, token, d_k}
  TensorView<const T> v{};      ///< {batch, key-value head, token, d_v}
  TensorView<const T> decay{};  ///< {batch, key-value head, token, d_k or 1}
  TensorView<const T> beta{};   ///< {batch, key-value head or 1, token, 1}
  TensorView<const S> past{};   ///< {batch, key-value head, d_k, d_v}
  TensorView<S> present{};

  Index tokens() const { return q.tokens(); }
  Index group() const { return q.heads() / k.heads(); }
  Index d_k() const { return k.features(); }
  Index d_v() const { return v.features(); }
};

template <class T>
bool is_given(const TensorView<T>& view) {
  return view.data || view.shape != std::array<Index, 4>{};
}

/// What a rule is made of.
struct LinearRule {
  const char* name;
  bool decays;
  bool is_delta;
};

inline void check_part_of_rule(const LinearRule& rule, const char* part, bool needed, bool given,
                               const char* rules_with, const char* rules_without) {
  if (needed && !given)
    raise_value({"LinearAttention: the rule ", rule.name, " needs ", part, ", and none was given; ",
                 rules_without, " do without"});
  if (!needed && given)
    raise_value({"LinearAttention: the rule ", rule.name, " takes no ", part,
                 ", and one was given; ", rules_with, " take one"});
}

/// Q, K and V, as kernel attention takes them too.
template <class Views>
void check_linear_tokens(const char* name, const Views& x) {
  check_tokens(name, x);
  if (x.k.features() != x.q.features())
    raise_shape({name, ": a head of K has ", x.k.features(), " features and one of Q has ",
                 x.q.features(), "; queries and keys need the same feature size"});
}

template <class T, class S>
void check_linear_sizes(const LinearViews<T, S>& x) {
  const char* name = "LinearAttention";
  check_linear_tokens(name, x);
  if (x.k.tokens() != x.tokens() || x.v.tokens() != x.tokens())
    raise_shape({name, ": Q has ", x.tokens(), " tokens, K ", x.k.tokens(), " and V ", x.v.tokens(),
                 "; all three need the same number, since each token writes and "
                 "then reads"});
  const Index b = x.q.batches(), c = x.k.heads(), n = x.tokens();
  if (is_given(x.decay))
    check_shape(name, "Decay", x.decay, b, c, n, x.decay.features() == 1 ? 1 : x.d_k(),
                "it has one factor a head, or one a feature of K, for every token");
  if (is_given(x.beta))
    check_shape(name, "Beta", x.beta, b, x.beta.heads() == 1 ? 1 : c, n, 1,
                "it has one number a head, or one for all heads, for every token");
  const char* state_rule = "a state is d_k x d_v for every key-value head";
  if (is_given(x.past))
    check_shape(name, "the past state", x.past, b, c, x.d_k(), x.d_v(), state_rule);
  if (is_given(x.present))
    check_shape(name, "the present state", x.present, b, c, x.d_k(), x.d_v(), state_rule);
  check_shape(name, "O", x.output, b, x.q.heads(), n, x.d_v(), "a result is never resized");
}

template <class U, class T, class S>
void check_linear_apart(const char* which, const TensorView<U>& to, const LinearViews<T, S>& x) {
  const auto apart = [&](const char* input, const auto& from) {
    if (overlap(to, from))
      raise_value({"LinearAttention: ", which, " overlaps ", input,
                   " in memory; results need memory of their own"});
  };
  apart("Q", x.q);
  apart("K", x.k);
  apart("V", x.v);
  apart("Decay", x.decay);
  apart("Beta", x.beta);
}

template <class T, class S>
void check_linear_call(const LinearRule& rule, const LinearViews<T, S>& x) {
  check_part_of_rule(rule, "Decay", rule.decays, is_given(x.decay), "gated and gated_delta",
                     "linear and delta");
  check_part_of_rule(rule, "Beta", rule.is_delta, is_given(x.beta), "delta and gated_delta",
                     "linear and gated");
  check_linear_sizes(x);
  check_linear_apart("O", x.output, x);
  check_linear_apart("the present state", x.present, x);
  const bool in_place = static_cast<const void*>(x.past.data) == x.present.data &&
                        x.past.strides == x.present.strides;
  if (overlap(x.output, x.past) || overlap(x.output, x.present) ||
      (!in_place && overlap(x.present, x.past)))
    raise_value(
        {"LinearAttention: O, the past state and the present state overlap in memory; "
         "only the two states may share theirs, number by number"});
}

/// Scratch of one task: a block of tokens, and what chunks need besides.
template <class A>
struct LinearScratch {
  A* q;
  A* k;
  A* v;
  A* factor;
  A* beta;
  A* out;
  A* state;    ///< where the present state cannot be worked on in place
  A* staging;  ///< what is read or written, on its way between storage types
  ChunkScratch<A> chunk;

  template <class T, class S>
  LinearScratch(Arena& arena, const LinearViews<T, S>& x, const LinearRule& rule, Index tokens)
      : q(arena.take<A>(tokens * x.group() * x.d_k())),
        k(arena.take<A>(tokens * x.d_k())),
        v(arena.take<A>(tokens * padded<A>(x.d_v()))),
        factor(arena.take<A>(tokens * x.decay.features())),
        beta(arena.take<A>(rule.is_delta ? tokens : 0)),
        out(arena.take<A>((tokens * x.group() + key_group) * padded<A>(x.d_v()))),
        state(arena.take<A>(x.d_k() * x.d_v())),
        staging(arena.take<A>(std::max({tokens, x.d_k(), x.d_v()}) * std::max(x.d_k(), x.d_v()))),
        chunk(arena, tokens >= shortest_chunk ? tokens : 0, x.group(), x.d_k(), x.d_v(),
              rule.decays, rule.is_delta) {}
};

/// One batch and key-value head.
template <class T, class S>
class LinearTask {
 public:
  using A = Accumulator<T>;

  LinearTask(const LinearViews<T, S>& views, const LinearRule& rule, A scale,
             const LinearScratch<A>& scratch, Index batch, Index head)
      : x_(views), rule_(rule), scale_(scale), scratch_(scratch), batch_(batch), head_(head) {}

  void run(Index block) const {
    const Rows<A> state = first_state();
    for (Index first = 0; first < x_.tokens(); first += block) {
      const TokenBlock<A> tokens = load(first, std::min(block, x_.tokens() - first));
      if (tokens.count < shortest_chunk)
        run_recurrence(tokens, state);
      else
        run_chunks(tokens, state, scratch_.chunk);
      for (Index h = 0; h < tokens.group; ++h)
        write_tokens(Operand<A>(tokens.out + h * tokens.v_stride, tokens.count, tokens.d_v,
                                tokens.group * tokens.v_stride, true),
                     Slice<T>(x_.output, batch_, query_head(h)), first, scratch_.staging);
    }
    if (is_given(x_.present) && state.data == scratch_.state)
      write_tokens(Operand<A>(state.data, x_.d_k(), x_.d_v(), state.stride, true),
                   Slice<S>(x_.present, batch_, head_), 0, scratch_.staging);
  }

 private:
  Index query_head(Index h) const { return head_ * x_.group() + h; }

  /// The past state or zeros, in place of the present state where its memory will do.
  Rows<A> first_state() const {
    Rows<A> state{scratch_.state, x_.d_v()};
    if constexpr (std::is_same_v<A, S>)
      if (is_given(x_.present) && x_.present.strides[3] == 1 && x_.present.strides[2] >= x_.d_v())
        state = {x_.present.pointer(batch_, head_, 0), x_.present.strides[2]};
    if (!is_given(x_.past))
      map_rows(state, x_.d_k(), x_.d_v()).setZero();
    else if (static_cast<const void*>(x_.past.pointer(batch_, head_, 0)) != state.data)
      read(Slice<const S>(x_.past, batch_, head_), 0, x_.d_k(), state);
    return state;
  }

  template <class U>
  void read(const Slice<const U>& from, Index first, Index count, const Rows<A>& to,
            A factor = A(1)) const {
    read_tokens(from, first, count, scratch_.staging, to, factor);
  }

  TokenBlock<A> load(Index first, Index count) const {
    const Index group = x_.group(), d_k = x_.d_k(), d_v = x_.d_v();
    const Rows<A> v{scratch_.v, padded<A>(d_v)};
    for (Index h = 0; h < group; ++h)
      read(Slice<const T>(x_.q, batch_, query_head(h)), first, count,
           {scratch_.q + h * d_k, group * d_k}, scale_);
    read(Slice<const T>(x_.k, batch_, head_), first, count, {scratch_.k, d_k});
    read(Slice<const T>(x_.v, batch_, head_), first, count, v);
    clear_padding(v, count, d_v);
    if (rule_.decays) load_factors(first, count);
    if (rule_.is_delta)
      read(Slice<const T>(x_.beta, batch_, x_.beta.heads() == 1 ? 0 : head_), first, count,
           {scratch_.beta, 1});
    return {.count = count,
            .group = group,
            .d_k = d_k,
            .d_v = d_v,
            .q = scratch_.q,
            .k = scratch_.k,
            .v = scratch_.v,
            .factor = rule_.decays ? scratch_.factor : nullptr,
            .beta = rule_.is_delta ? scratch_.beta : nullptr,
            .out = scratch_.out,
            .v_stride = v.stride,
            .factors = x_.decay.features()};
  }

  void load_factors(Index first, Index count) const {
    const Index width = x_.decay.features();
    read(Slice<const T>(x_.decay, batch_, head_), first, count, {scratch_.factor, width});
    exponentiate(scratch_.factor, count * width);
  }

  const LinearViews<T, S>& x_;
  const LinearRule& rule_;
  A scale_;
  const LinearScratch<A>& scratch_;
  Index batch_;
  Index head_;
};

/// Runs a call that has been checked.
template <class T, class S, class Executor>
void run_linear(const LinearViews<T, S>& x, const LinearRule& rule, double scale, Index chunk_size,
                const Executor& executor, Workspace& workspace) {
  using A = Accumulator<T>;
  const Index tasks = x.q.batches() * x.k.heads();
  if (tasks == 0 || x.d_v() == 0) return;
  const double usual = x.d_k() > 0 ? 1 / std::sqrt(static_cast<double>(x.d_k())) : 1.0;
  const A factor = static_cast<A>(scale == 0 ? usual : scale);
  const Index block = std::min(chunk_size, std::max<Index>(x.tokens(), 1));
  Arena size;
  LinearScratch<A>(size, x, rule, block);
  const Index workers = executor.workers(tasks);
  workspace.prepare(workers, size.used());
  executor.run(tasks, [&](Index task, Index worker) {
    Arena arena(workspace.worker(worker));
    const LinearScratch<A> scratch(arena, x, rule, block);
    LinearTask<T, S>(x, rule, factor, scratch, task / x.k.heads(), task % x.k.heads()).run(block);
  });
}

}  // namespace engine
ATTN_END_NAMESPACE
