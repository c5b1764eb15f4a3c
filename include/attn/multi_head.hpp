// SPDX-License-Identifier: Apache-2.0
// Multi-head attention with its projections: self-attention, and cross-attention to a memory.
//
//     q = X Wq^T + bq,  k = M Wk^T + bk,  v = M Wv^T + bv          M = X, or the memory
//     Y = [O_1 .. O_H] Wo^T + bo,  O_h = attention(q_h, k_h, v_h, parts...)
//
// Parameters, their names and where they start: multi_head_parameters.hpp. Which product makes
// which projection: engine/projection.hpp.
#pragma once

#include <cstddef>
#include <optional>
#include <tuple>
#include <type_traits>
#include <utility>

#include <attn/check.hpp>
#include <attn/concepts.hpp>
#include <attn/config.hpp>
#include <attn/engine/front.hpp>
#include <attn/engine/head_norm.hpp>
#include <attn/engine/linear.hpp>
#include <attn/engine/projection.hpp>
#include <attn/engine/token_rows.hpp>
#include <attn/kv_cache.hpp>
#include <attn/mask.hpp>
#include <attn/multi_head_parameters.hpp>
#include <attn/rotary.hpp>
#include <attn/tensor_view.hpp>

ATTN_BEGIN_NAMESPACE

/// What a forward pass gives and what backward needs of it.
template <class T, class... Parts>
struct MultiHeadAttentionForward {
  engine::TokenRows<T> output;          ///< Y, a token a row, batch after batch
  VectorX<Accumulator<T>> log_sum_exp;  ///< in the order batch, head, token
  engine::MultiHeadTrace<T> trace;      ///< private to the layer
  std::tuple<Parts...> parts;
};

/// Gradients by what a forward pass was made of; empty where there was no such input.
template <class T, class Gradients>
struct MultiHeadAttentionBackward {
  engine::TokenRows<T> input;   ///< by X, a token a row, batch after batch
  engine::TokenRows<T> memory;  ///< by the memory, or by the keys' where values were given apart
  engine::TokenRows<T> values;
  MultiHeadAttentionParameters<Accumulator<T>> parameters;  ///< as layer.parameters
  Gradients parts;

  /// Gradients of a part's own parameters, as those of attention_backward.
  template <class P, std::size_t N = 0>
  const auto& of() const {
    return parts.template of<P, N>();
  }
  template <template <class...> class P, std::size_t N = 0>
  const auto& of() const {
    return parts.template of<P, N>();
  }
};

/// Self- and cross-attention of several heads between learned projections, with the parameters of
/// torch.nn.MultiheadAttention; grouped queries, rotary positions and norms of queries and keys by
/// options.
///
///     layer(X, parts...)                 every token attends to the tokens of X
///     layer(X, memory, parts...)         to those of a memory, which has kdim = vdim features
///     layer(X, keys, values, parts...)   keys and values made of two memories
///     layer.step(x, cache, parts...)     new tokens to those in a KeyValueCache, and themselves
///
/// Shapes      X n_q x E gives n_q x E; memory n_k x kdim, values n_k x vdim. A batch is a
///             TensorView {batch, 1, token, feature} and gives batch * n_q rows, batch after batch
/// Parts       as in attention, Heads and Workspace aside; PositionOffset also moves the rotation.
///             Their matrices have the layer's scalar
/// Empty rows  a query that may see no key gets the bias of the output projection
/// Non-finite  NaN or inf in a token of the memory that no query sees is in no result and gradient
/// Cost        4 n E (E + E_kv) flops for the projections of n tokens, and those of attention
/// Throws      ShapeError, ValueError before any arithmetic on the inputs; std::bad_alloc
/// Threads     re-entrant; the projections run on the calling thread
/// Source      Vaswani et al. 2017, section 3.2.2; Ainslie et al. 2023 (grouped queries)
template <class T>
class MultiHeadAttention {
  using A = Accumulator<T>;
  using Trace = engine::MultiHeadTrace<T>;
  using Projected = engine::Projected;
  static constexpr const char* name = "MultiHeadAttention";

 public:
  using Tokens = engine::TokenRows<T>;
  using Scalar = T;

  MultiHeadAttentionParameters<T> parameters;  ///< open to change, but not in size

  explicit MultiHeadAttention(MultiHeadAttentionOptions options, Seed seed = 0)
      : parameters(engine::initial_parameters<T>(engine::MultiHeadSizes(options), seed)),
        options_(options),
        sizes_(options),
        shapes_(engine::shapes_of(parameters)) {
    if (options.rotary) rotary_.emplace(*options.rotary);
  }

  const MultiHeadAttentionOptions& options() const { return options_; }

  /// Y of layer(X, parts...), layer(X, memory, parts...) or layer(X, keys, values, parts...).
  template <class X, class... Args>
  Tokens operator()(const X& x, Args&&... memory_and_parts) const {
    return with_trace(
        [&](auto trace, auto&... parts) {
          attend(trace, nullptr, parts...);
          return project_out(trace.attended);
        },
        x, memory_and_parts...);
  }

  /// The weights P of the same call: n_k columns, rows in the order batch, head, query.
  template <class X, class... Args>
  Tokens weights(const X& x, Args&&... memory_and_parts) const {
    return with_trace(
        [&](auto trace, auto&... parts) {
          project(trace, parts...);
          const engine::Inputs<T> in = inputs_of(trace);
          Tokens P(in.q.batches() * in.q.heads() * in.n_q(), in.n_k());
          const engine::WeightedOutputs<T, A> out{
              {{}, {}, true}, bhtd(P.data(), in.q.batches(), in.q.heads(), in.n_q(), in.n_k())};
          engine::forward_call(name, in, out, parts...);
          return P;
        },
        x, memory_and_parts...);
  }

  /// f(q, k, parts...) with the queries and keys of the same call as it attends with them, in
  /// TensorViews that last until f returns:
  ///     layer.with_queries_and_keys([&](auto&... call) { rollout.layer(call...); }, X, Causal{});
  template <class F, class X, class... Args>
  auto with_queries_and_keys(F&& f, const X& x, Args&&... memory_and_parts) const {
    return with_trace(
        [&](auto trace, auto&... parts) {
          project(trace, parts...);
          const engine::Inputs<T> in = inputs_of(trace);
          return f(in.q, in.k, parts...);
        },
        x, memory_and_parts...);
  }

  /// Y, and what backward needs; takes what operator() takes.
  template <class X, class... Args>
  auto forward(const X& x, Args&&... memory_and_parts) const {
    return with_trace(
        [&](auto trace, auto&... parts) {
          MultiHeadAttentionForward<T, std::decay_t<decltype(parts)>...> result{
              {}, {}, std::move(trace), {parts...}};
          result.log_sum_exp.resize(result.trace.input[0].rows() * sizes_.num_heads);
          attend(result.trace, result.log_sum_exp.data(), parts...);
          result.output = project_out(result.trace.attended);
          return result;
        },
        x, memory_and_parts...);
  }

  /// Y of the tokens that come after those in the cache, which takes in their keys and values: one
  /// token a row, or TensorView {batch, 1, token, E}. Each sees all before it (Causal{} is not
  /// needed) at its position in the whole sequence; PositionOffset has no place. Calls of this add
  /// up to layer(X, Causal{}, parts...) over all tokens, to rounding; with a window of the cache,
  /// to layer(X, SlidingWindow{window - 1, 0}, parts...).
  /// Throws  what operator() and the cache's append do; the cache then has the size that it had,
  ///         but a window may have let go of its oldest tokens
  template <class X, class S, class... Parts>
  Tokens step(const X& x, KeyValueCache<T, S>& cache, Parts&&... parts) const {
    static_assert(accepts<Parts...>());
    static_assert(engine::diagnose_cache_call<T, X, Parts...>());
    Trace trace = start(x);
    project(trace, PositionOffset{.query = cache.size(), .key = cache.size()});
    const engine::Inputs<T> in = inputs_of(trace);
    trace.attended.resize(trace.input[0].rows(), sizes_.embed_dim);
    engine::Appended appended(cache, in.k, in.v);
    const Causal causal;
    engine::attend_call("MultiHeadAttention::step", in.q, cache,
                        {attended_view<T>(trace, trace.attended), {}, true}, causal, parts...);
    appended.keep();
    return project_out(trace.attended);
  }
  /// A cache for `step` needs these options; its capacity or window may be added.
  KeyValueCacheOptions cache_options(Index batch = 1) const {
    return {
        .batch = batch, .num_kv_heads = sizes_.heads(Projected::key), .head_dim = sizes_.head_dim};
  }

  /// Gradients of a loss by the inputs and all parameters, given dY, the gradient by Y.
  template <class... Parts, class DY>
  auto backward(const MultiHeadAttentionForward<T, Parts...>& forward, const DY& d_output) const {
    static_assert(engine::diagnose_tokens<T, DY>());
    const Trace& trace = forward.trace;
    const Tokens dY = engine::token_rows<T>(name, "dY", d_output);
    check_backward(trace, dY);
    auto gradient = engine::zero_parameters<A>(sizes_);
    const Tokens d_attended = backward_of_output(dY, trace.attended, gradient);
    typename Trace::Matrices d_projected, d_input;
    for (std::size_t c = 0; c < trace.inputs; ++c)
      d_projected[c].resize(trace.projected[c].rows(), trace.projected[c].cols());
    auto of_parts = std::apply(
        [&](const auto&... parts) {
          return backward_of_attention(forward, d_attended, d_projected, gradient, parts...);
        },
        forward.parts);
    for (std::size_t c = 0; c < trace.inputs; ++c)
      d_input[c] = backward_of_input(trace, d_projected[c], c, gradient);
    return MultiHeadAttentionBackward<T, decltype(of_parts)>{
        std::move(d_input[0]), std::move(d_input[1]), std::move(d_input[2]), std::move(gradient),
        std::move(of_parts)};
  }

 private:
  /// f(trace with the inputs, parts...): matrices and views come first.
  template <class F, class X, class... Parts>
  requires(engine::leading_arrays<Parts...>() == 0) auto with_trace(F&& f, const X& x,
                                                                    Parts&... parts) const {
    static_assert(accepts<Parts...>());
    return f(start(x), parts...);
  }
  template <class F, class X, class M, class... Parts>
  requires(engine::leading_arrays<M, Parts...>() ==
           1) auto with_trace(F&& f, const X& x, const M& memory, Parts&... parts) const {
    static_assert(accepts<Parts...>());
    return f(start(x, memory), parts...);
  }
  template <class F, class X, class K, class V, class... Parts>
  requires(engine::leading_arrays<K, V, Parts...>() >=
           2) auto with_trace(F&& f, const X& x, const K& keys, const V& values,
                              Parts&... parts) const {
    static_assert(accepts<Parts...>());
    return f(start(x, keys, values), parts...);
  }

  template <class... Parts>
  static consteval bool accepts() {
    static_assert(
        (true && ... && (!PartOf<Parts, role::heads> && !PartOf<Parts, role::workspace>)),
        "attn::MultiHeadAttention: Heads and Workspace have no place here. The layer has its "
        "heads: leave them out.");
    return engine::diagnose_parts<T, Parts...>();
  }

  /// A trace with its inputs, all checks done.
  template <class... Inputs>
  Trace start(const Inputs&... inputs) const {
    static_assert((true && ... && engine::diagnose_tokens<T, Inputs>()));
    Trace trace;
    trace.inputs = sizeof...(Inputs);
    std::size_t c = 0;
    const auto take = [&](const auto& x) {
      trace.batches[c] = engine::batches_of(x);
      trace.input[c] = engine::token_rows<T>(name, plan(trace).input_name(c), x);
      ++c;
    };
    (take(inputs), ...);
    engine::check_shapes(parameters, shapes_);
    plan(trace).check(trace);
    return trace;
  }
  engine::ProjectionPlan plan(const Trace& trace) const { return {sizes_, trace.inputs}; }

  /// The heads of a projection in matrices of the form of trace.projected.
  template <class U, class Matrices>
  TensorView<U> heads(const Trace& trace, Matrices& matrices, Projected p) const {
    const std::size_t c = plan(trace).input_of(p);
    return plan(trace).template heads<U>(matrices[c].data(), matrices[c], trace.batches[c], p);
  }
  engine::Inputs<T> inputs_of(const Trace& trace) const {
    return {heads<const T>(trace, trace.projected, Projected::query),
            heads<const T>(trace, trace.projected, Projected::key),
            heads<const T>(trace, trace.projected, Projected::value)};
  }
  template <class U, class Rows>
  TensorView<U> attended_view(const Trace& trace, Rows& rows) const {
    return bthd<U>(rows.data(), trace.batches[0], trace.tokens(0), sizes_.num_heads,
                   sizes_.head_dim);
  }

  /// Makes q, k and v as attention reads them.
  template <class... Parts>
  void project(Trace& trace, const Parts&... parts) const {
    const auto p = plan(trace);
    for (std::size_t c = 0; c < trace.inputs; ++c) {
      trace.projected[c].resize(trace.input[c].rows(), p.width(c));
      p.for_each_product(c, [&](Projected first, Index width) {
        engine::linear(trace.projected[c].middleCols(p.column(first), width), trace.input[c],
                       p.weight(parameters, first, width), p.bias(parameters, first, width));
      });
    }
    const auto q = heads<T>(trace, trace.projected, Projected::query),
               k = heads<T>(trace, trace.projected, Projected::key);
    if (sizes_.qk_norm) {
      trace.before_norm = trace.projected;
      norm(q, parameters.q_norm.weight);
      norm(k, parameters.k_norm.weight);
    }
    turn(
        q, k, [](const auto& rotary, const auto& x, Index at) { rotary.apply(x, at); }, parts...);
  }
  void norm(const TensorView<T>& x, const VectorX<T>& weight) const {
    engine::norm_heads(x, VectorX<A>(weight.template cast<A>()), options_.qk_norm_eps);
  }
  /// The gradient of its weight; turns that by its result into that by its input, in place.
  VectorX<A> norm_backward(const TensorView<T>& d, const TensorView<const T>& before,
                           const VectorX<T>& weight) const {
    return engine::norm_heads_backward(d, before, VectorX<A>(weight.template cast<A>()),
                                       options_.qk_norm_eps);
  }
  /// apply(rotary, tokens, position of the first) for queries and keys, by sequences where those
  /// are packed; nothing without rotary positions.
  template <class F, class... Parts>
  void turn(const TensorView<T>& q, const TensorView<T>& k, F&& apply,
            const Parts&... parts) const {
    if (!rotary_) return;
    const auto& offset = engine::part_of<role::position_offset>(engine::default_offset, parts...);
    engine::for_each_sequence_of(
        name, q, k,
        [&](const TensorView<T>& queries, const TensorView<T>& keys) {
          apply(*rotary_, queries, offset.query);
          apply(*rotary_, keys, offset.key);
        },
        parts...);
  }

  /// From the inputs of a trace to its `attended`; log_sum_exp may be null.
  template <class... Parts>
  void attend(Trace& trace, A* log_sum_exp, Parts&... parts) const {
    project(trace, parts...);
    const engine::Inputs<T> in = inputs_of(trace);
    trace.attended.resize(trace.input[0].rows(), sizes_.embed_dim);
    const engine::Outputs<T, A> out{attended_view<T>(trace, trace.attended),
                                    bhtd(log_sum_exp, in.q.batches(), in.q.heads(), in.n_q(), 1),
                                    true};
    engine::forward_call(name, in, out, parts...);
  }
  Tokens project_out(const Tokens& attended) const {
    Tokens Y(attended.rows(), sizes_.embed_dim);
    engine::linear(Y, attended, parameters.out_proj.weight, parameters.out_proj.bias);
    return Y;
  }

  /// Writes the gradients by the projections, sets those of the norms, returns those of the parts.
  template <class Forward, class... Parts>
  auto backward_of_attention(const Forward& forward, const Tokens& d_attended,
                             typename Trace::Matrices& d_projected,
                             MultiHeadAttentionParameters<A>& gradient,
                             const Parts&... parts) const {
    const Trace& trace = forward.trace;
    const engine::Inputs<T> in = inputs_of(trace);
    const auto d_q = heads<T>(trace, d_projected, Projected::query),
               d_k = heads<T>(trace, d_projected, Projected::key);
    engine::BackwardViews<T, A> views;
    views.output = attended_view<const T>(trace, trace.attended);
    views.log_sum_exp = bhtd(forward.log_sum_exp.data(), in.q.batches(), in.q.heads(), in.n_q(), 1);
    views.d_output = attended_view<const T>(trace, d_attended);
    views.d_query = d_q, views.d_key = d_k;
    views.d_value = heads<T>(trace, d_projected, Projected::value);
    auto of_parts = engine::backward_call(name, in, views, parts...);
    turn(
        d_q, d_k, [](const auto& rotary, const auto& d, Index at) { rotary.apply_backward(d, at); },
        parts...);
    if (sizes_.qk_norm) {
      const auto before = [&](Projected p) { return heads<const T>(trace, trace.before_norm, p); };
      gradient.q_norm.weight =
          norm_backward(d_q, before(Projected::query), parameters.q_norm.weight);
      gradient.k_norm.weight = norm_backward(d_k, before(Projected::key), parameters.k_norm.weight);
    }
    return of_parts;
  }

  void check_backward(const Trace& trace, const Tokens& dY) const {
    engine::check_shapes(parameters, shapes_);
    if (!plan(trace).made(trace))
      engine::raise_shape({name,
                           ": the forward result is that of a layer of other sizes; backward "
                           "takes one of the same layer"});
    if (dY.rows() != trace.attended.rows() || dY.cols() != sizes_.embed_dim)
      engine::raise_shape({name, ": dY is ", engine::size_text(dY.rows(), dY.cols()),
                           " and must be ",
                           engine::size_text(trace.attended.rows(), sizes_.embed_dim),
                           "; the gradient of the output has the output's shape"});
  }
  /// The gradient by `attended`; sets those of the output projection.
  Tokens backward_of_output(const Tokens& dY, const Tokens& attended,
                            MultiHeadAttentionParameters<A>& gradient) const {
    engine::TokenRows<A> d_attended = engine::TokenRows<A>::Zero(dY.rows(), sizes_.embed_dim);
    engine::linear_backward(d_attended, engine::accumulated(dY), attended,
                            parameters.out_proj.weight, gradient.out_proj.weight,
                            gradient.out_proj.bias);
    return d_attended.template cast<T>();
  }
  /// The gradient by an input; sets those of the projections that read it.
  Tokens backward_of_input(const Trace& trace, const Tokens& d_projected, std::size_t c,
                           MultiHeadAttentionParameters<A>& gradient) const {
    const auto p = plan(trace);
    const Tokens& input = trace.input[c];
    const auto& d = engine::accumulated(d_projected);
    engine::TokenRows<A> d_input = engine::TokenRows<A>::Zero(input.rows(), input.cols());
    p.for_each_product(c, [&](Projected first, Index width) {
      engine::linear_backward(d_input, d.middleCols(p.column(first), width), input,
                              p.weight(parameters, first, width), p.weight(gradient, first, width),
                              p.bias(gradient, first, width));
    });
    return d_input.template cast<T>();
  }

  MultiHeadAttentionOptions options_;
  engine::MultiHeadSizes sizes_;
  engine::MultiHeadShapes shapes_;
  std::optional<RotaryEmbedding<T>> rotary_;
};

ATTN_END_NAMESPACE
