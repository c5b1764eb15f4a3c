// SPDX-License-Identifier: Apache-2.0
// The front door: every entry point of the library.
//
//     attention        O                      attention_weights       P
//     attention_into   O, in given memory     attention_with_weights  O and P
//     attention_forward   O and L             attention_backward      dQ, dK, dV and the parts'
//     Attention        all of them, with the parts stored
//
// The calls whose names end with _into write into memory of the caller's and take TensorViews too.
// Arguments are sorted, checked and reduced to strided views in engine/front.hpp; the work is done
// in engine/forward.hpp and engine/backward.hpp.
#pragma once

#include <cstddef>
#include <tuple>
#include <type_traits>
#include <utility>

#include <attn/concepts.hpp>
#include <attn/config.hpp>
#include <attn/engine/fixed.hpp>
#include <attn/engine/front.hpp>
#include <attn/result.hpp>
#include <attn/tensor_view.hpp>

ATTN_BEGIN_NAMESPACE

/// Attention over all keys: each query takes a weighted mean of the values.
///
///     O = softmax(Q K^T / sqrt(d)) V
///
/// Shapes      Q  n_q x d     one query a row; any dense Eigen expression, any storage order
///             K  n_k x d     one key a row (another width for Additive and Bilinear)
///             V  n_k x d_v   one value a row
///             O  n_q x d_v   returned by value, in Q's storage order
/// Parts       a score function, score modifiers, masks, a normaliser, probability modifiers,
///             Heads, CumulativeLengths, an executor, a Workspace, a PositionOffset; any order, at
///             most one of each exclusive role. The pipeline is always: score, modifiers, masks,
///             normaliser, probability modifiers, times V
/// Empty rows  a query that may see no key gets a zero row
/// Non-finite  NaN or inf at a visible position reaches that query's row only; a masked one nothing
/// Accuracy    per row at most 2x the error of the textbook computation in the same scalar
///             + 4 eps max|V|; with logits of tens that of a textbook which sums q.k feature by
///             feature, as matrix products do; for sparsemax and entmax15 up to four times that on
///             rows of thousands of nearly equal scores, where the sums of a row round most
/// Cost        2 n_q n_k (d + d_v) flops over visible tiles; O(n_q d_v) memory, S is never stored
///             (sparsemax and entmax15: one block of its rows)
/// Throws      ShapeError, ValueError before any arithmetic; std::bad_alloc
/// Threads     re-entrant; same bits for any number of threads
/// Source      Vaswani et al. 2017, eq. 1; tiling: Dao 2023 (FlashAttention-2), algorithm 1
/// Example     examples/first_attention.cpp
template <class Q, class K, class V, class... Parts>
auto attention(const Q& q, const K& k, const V& v, Parts&&... parts) {
  constexpr bool valid = engine::diagnose_call<Q, K, V, Parts...>() && engine::diagnose_matrix<Q>();
  if constexpr (valid) {
    engine::OutputOf<Q, V, Parts...> output;
    if constexpr (engine::takes_fixed_path<Q, K, V, Parts...>)
      if (engine::attend_fixed(q, k, v, output)) return output;
    engine::with_inputs(
        "attention", q, k, v,
        [&](const auto& in) {
          engine::forward_call("attention", in, engine::resize_output(output, in), parts...);
        },
        parts...);
    return output;
  }
}

template <class Q, class K>
ATTN_UNAVAILABLE(
    "attn::attention: V is missing. Call attention(Q, K, V, parts...); for the weights "
    "alone, attention_weights(Q, K, parts...)")
typename Q::PlainObject attention(const Q&, const K&) {
  return {};
}

/// Writes O into memory of the caller's: any writable Eigen expression, or TensorViews all through.
///
/// As attention; O is never resized and must not overlap Q, K or V (ValueError). With a Workspace
/// among the arguments nothing is allocated once it has grown, unless O interleaves with Q, K or V
/// in memory, or matrices of Additive or Bilinear are larger than 512 x 512 (Eigen's products take
/// buffers of their own then).
template <class O, class Q, class K, class V, class... Parts>
void attention_into(O&& o, const Q& q, const K& k, const V& v, Parts&&... parts) {
  constexpr bool writable = engine::diagnose_output<O>();
  constexpr bool valid = engine::diagnose_call<Q, K, V, Parts...>();
  if constexpr (writable && valid) {
    const char* name = "attention_into";
    engine::with_inputs(
        name, q, k, v,
        [&](const auto& in) {
          engine::with_output<typename Q::Scalar>(name, o, in.q.heads(), [&](const auto& view) {
            engine::forward_call(name, in, {view, {}}, parts...);
          });
        },
        parts...);
  }
}

/// O and its log-sum-exp: what backward, merging and chunked work need.  Shapes: see Forward.
template <class Q, class K, class V, class... Parts>
auto attention_forward(const Q& q, const K& k, const V& v, Parts&&... parts) {
  constexpr bool valid = engine::diagnose_call<Q, K, V, Parts...>() && engine::diagnose_matrix<Q>();
  if constexpr (valid) {
    engine::OutputOf<Q, V, Parts...> output;
    engine::LogSumExpOf<Q, Parts...> log_sum_exp;
    engine::with_inputs(
        "attention_forward", q, k, v,
        [&](const auto& in) {
          auto out = engine::resize_output(output, in);
          out.log_sum_exp = engine::resize_log_sum_exp(log_sum_exp, in);
          engine::forward_call("attention_forward", in, out, parts...);
        },
        parts...);
    return Forward<decltype(output), decltype(log_sum_exp), engine::NormalizerOf<Parts...>>{
        std::move(output), std::move(log_sum_exp)};
  }
}

/// The same into views of the caller's.
/// Shapes  o {batch, head, n_q, d_v}, log_sum_exp {batch, head, n_q, 1} in the accumulator type
template <class T, class... Parts>
void attention_forward_into(TensorView<T> o, TensorView<Accumulator<T>> log_sum_exp,
                            engine::Read<T> q, engine::Read<T> k, engine::Read<T> v,
                            Parts&&... parts) {
  using View = TensorView<const T>;
  constexpr bool valid = engine::diagnose_call<View, View, View, Parts...>();
  if constexpr (valid)
    engine::forward_call("attention_forward_into", engine::Inputs<T>{q, k, v},
                         engine::Outputs<T, Accumulator<T>>{o, log_sum_exp}, parts...);
}

/// The same into matrices: any writable expressions, log_sum_exp n_q x heads.
template <engine::EigenDense O, engine::EigenDense L, class Q, class K, class V, class... Parts>
void attention_forward_into(O&& o, L&& log_sum_exp, const Q& q, const K& k, const V& v,
                            Parts&&... parts) {
  constexpr bool writable = engine::diagnose_output<O>() && engine::diagnose_output<L>();
  constexpr bool valid = engine::diagnose_call<Q, K, V, Parts...>();
  if constexpr (writable && valid) {
    using T = typename Q::Scalar;
    const char* name = "attention_forward_into";
    engine::with_inputs(
        name, q, k, v,
        [&](const auto& in) {
          const Index heads = in.q.heads();
          engine::with_output<T>(name, o, heads, [&](const auto& O_) {
            engine::with_output<Accumulator<T>>(name, log_sum_exp, heads, [&](const auto& L_) {
              engine::forward_call(name, in, {O_, L_}, parts...);
            });
          });
        },
        parts...);
  }
}

/// The weights P = normalise(S), n_q x n_k, after the probability modifiers; with Heads those of
/// head h are rows h n_q .. (h + 1) n_q - 1. This one does store n_q x n_k numbers.
template <class Q, class K, class... Parts>
auto attention_weights(const Q& q, const K& k, Parts&&... parts) {
  constexpr bool valid = engine::diagnose_call<Q, K, K, Parts...>() && engine::diagnose_matrix<Q>();
  if constexpr (valid) {
    using T = typename Q::Scalar;
    engine::WeightsOf<Q> weights;
    engine::with_inputs(
        "attention_weights", q, k, k,
        [&](const auto& in) {
          const engine::WeightedOutputs<T, Accumulator<T>> out{{{}, {}, true},
                                                               engine::resize_weights(weights, in)};
          engine::forward_call("attention_weights", in, out, parts...);
        },
        parts...);
    return weights;
  }
}

/// The same into a view of the caller's.  Shapes  weights {batch, head, n_q, n_k}
template <class T, class... Parts>
void attention_weights_into(TensorView<T> weights, engine::Read<T> q, engine::Read<T> k,
                            Parts&&... parts) {
  using View = TensorView<const T>;
  constexpr bool writable = engine::diagnose_output<TensorView<T>>();
  constexpr bool valid = engine::diagnose_call<View, View, View, Parts...>();
  if constexpr (writable && valid) {
    const char* name = "attention_weights_into";
    engine::check_is_there(name, "P", weights);
    engine::forward_call(name, engine::Inputs<T>{q, k, k},
                         engine::WeightedOutputs<T, Accumulator<T>>{{}, weights}, parts...);
  }
}

/// O and the weights that it is made with: O = P V.
template <class Q, class K, class V, class... Parts>
auto attention_with_weights(const Q& q, const K& k, const V& v, Parts&&... parts) {
  constexpr bool valid = engine::diagnose_call<Q, K, V, Parts...>() && engine::diagnose_matrix<Q>();
  if constexpr (valid) {
    using T = typename Q::Scalar;
    engine::OutputOf<Q, V, Parts...> output;
    engine::WeightsOf<Q> weights;
    engine::with_inputs(
        "attention_with_weights", q, k, v,
        [&](const auto& in) {
          const engine::WeightedOutputs<T, Accumulator<T>> out{engine::resize_output(output, in),
                                                               engine::resize_weights(weights, in)};
          engine::forward_call("attention_with_weights", in, out, parts...);
        },
        parts...);
    return Weighted<decltype(output), decltype(weights)>{std::move(output), std::move(weights)};
  }
}

/// The same into views of the caller's.
/// Shapes  o {batch, head, n_q, d_v}, weights {batch, head, n_q, n_k}
template <class T, class... Parts>
void attention_with_weights_into(TensorView<T> o, engine::Written<T> weights, engine::Read<T> q,
                                 engine::Read<T> k, engine::Read<T> v, Parts&&... parts) {
  using View = TensorView<const T>;
  constexpr bool writable = engine::diagnose_output<TensorView<T>>();
  constexpr bool valid = engine::diagnose_call<View, View, View, Parts...>();
  if constexpr (writable && valid) {
    const char* name = "attention_with_weights_into";
    engine::check_is_there(name, "O", o);
    engine::check_is_there(name, "P", weights);
    engine::forward_call(name, engine::Inputs<T>{q, k, v},
                         engine::WeightedOutputs<T, Accumulator<T>>{{o, {}}, weights}, parts...);
  }
}

/// Gradients of a loss by Q, K, V and by every parameter of every part, given dO.
///
/// Shapes   dO n_q x d_v; the gradients have the shapes of Q, K and V
/// Parts    those of the forward call, in the same order (`Attention` makes sure of that)
/// Cost     10 n_q n_k d flops over visible tiles, O(n) memory: P is computed again from L
/// Threads  over batches, key-value heads and ranges of keys; at most 16 share the gradients of
///          parameters (fewer for more than 65,536 numbers: each has its own, 4 MiB of float in
///          all); same bits for any number
/// Source   Dao 2023 (FlashAttention-2), algorithm 2
template <class Q, class K, class V, class F, class DO, class... Parts>
auto attention_backward(const Q& q, const K& k, const V& v, const F& forward, const DO& d_output,
                        Parts&&... parts) {
  constexpr bool valid = engine::diagnose_call<Q, K, V, Parts...>() &&
                         engine::diagnose_matrix<Q>() && engine::diagnose_forward<Q, F, DO>();
  if constexpr (valid) {
    return engine::with_inputs(
        "attention_backward", q, k, v,
        [&](const auto& in) {
          return engine::backward_of_matrices<Q, K, V>(in, forward, d_output, parts...);
        },
        parts...);
  }
}

/// The same into views of the caller's, which are overwritten; returns the gradients of the parts.
template <class T, class... Parts>
auto attention_backward_into(TensorView<T> d_query, engine::Written<T> d_key,
                             engine::Written<T> d_value, engine::Read<T> q, engine::Read<T> k,
                             engine::Read<T> v, engine::Read<T> output,
                             engine::Read<T, Accumulator<T>> log_sum_exp, engine::Read<T> d_output,
                             Parts&&... parts) {
  using View = TensorView<const T>;
  constexpr bool valid = engine::diagnose_call<View, View, View, Parts...>();
  if constexpr (valid)
    return engine::backward_call("attention_backward_into", engine::Inputs<T>{q, k, v},
                                 engine::BackwardViews<T, Accumulator<T>>{
                                     output, log_sum_exp, d_output, d_query, d_key, d_value},
                                 parts...);
}

/// The same into matrices, given what attention_forward returned.
template <engine::EigenDense DQ, engine::EigenDense DK, engine::EigenDense DV, class Q, class K,
          class V, class F, class DO, class... Parts>
auto attention_backward_into(DQ&& d_query, DK&& d_key, DV&& d_value, const Q& q, const K& k,
                             const V& v, const F& forward, const DO& d_output, Parts&&... parts) {
  constexpr bool writable = engine::diagnose_output<DQ>() && engine::diagnose_output<DK>() &&
                            engine::diagnose_output<DV>();
  constexpr bool valid =
      engine::diagnose_call<Q, K, V, Parts...>() && engine::diagnose_forward<Q, F, DO>();
  if constexpr (writable && valid)
    return engine::with_inputs(
        "attention_backward_into", q, k, v,
        [&](const auto& in) {
          return engine::backward_into_matrices("attention_backward_into", in, d_query, d_key,
                                                d_value, forward, d_output, parts...);
        },
        parts...);
}

/// A mechanism with its parts: a reusable, copyable value whose backward uses the parts of its
/// forward. Every call takes further arguments, such as a Workspace or Threads.
///
///     attn::Attention mechanism{attn::Causal{}, attn::Softcap{30}};
///     auto forward = mechanism.forward(Q, K, V);
///     auto gradient = mechanism.backward(Q, K, V, forward, dO);
template <class... Parts>
class Attention {
  static_assert(engine::diagnose_roles<Parts...>());

 public:
  explicit Attention(Parts... parts) : parts_(std::move(parts)...) {}

  template <class Q, class K, class V, class... More>
  auto operator()(const Q& q, const K& k, const V& v, More&&... more) const {
    return with_parts([&](auto&... p) { return attention(q, k, v, p...); }, more...);
  }
  template <class O, class Q, class K, class V, class... More>
  void into(O&& o, const Q& q, const K& k, const V& v, More&&... more) const {
    with_parts([&](auto&... p) { attention_into(o, q, k, v, p...); }, more...);
  }
  template <class Q, class K, class V, class... More>
  auto forward(const Q& q, const K& k, const V& v, More&&... more) const {
    return with_parts([&](auto&... p) { return attention_forward(q, k, v, p...); }, more...);
  }
  template <class Q, class K, class... More>
  auto weights(const Q& q, const K& k, More&&... more) const {
    return with_parts([&](auto&... p) { return attention_weights(q, k, p...); }, more...);
  }
  template <class Q, class K, class V, class... More>
  auto with_weights(const Q& q, const K& k, const V& v, More&&... more) const {
    return with_parts([&](auto&... p) { return attention_with_weights(q, k, v, p...); }, more...);
  }
  template <class Q, class K, class V, class F, class DO, class... More>
  auto backward(const Q& q, const K& k, const V& v, const F& forward, const DO& d_output,
                More&&... more) const {
    return with_parts(
        [&](auto&... p) { return attention_backward(q, k, v, forward, d_output, p...); }, more...);
  }
  /// The _into forms: results first, then what the functions of these names take.
  template <class O, class L, class Q, class K, class V, class... More>
  void forward_into(O&& o, L&& log_sum_exp, const Q& q, const K& k, const V& v,
                    More&&... more) const {
    with_parts([&](auto&... p) { attention_forward_into(o, log_sum_exp, q, k, v, p...); }, more...);
  }
  template <class P, class Q, class K, class... More>
  void weights_into(P&& weights, const Q& q, const K& k, More&&... more) const {
    with_parts([&](auto&... p) { attention_weights_into(weights, q, k, p...); }, more...);
  }
  template <class O, class P, class Q, class K, class V, class... More>
  void with_weights_into(O&& o, P&& weights, const Q& q, const K& k, const V& v,
                         More&&... more) const {
    with_parts([&](auto&... p) { attention_with_weights_into(o, weights, q, k, v, p...); },
               more...);
  }
  template <engine::EigenDense DQ, class DK, class DV, class Q, class K, class V, class F, class DO,
            class... More>
  auto backward_into(DQ&& d_query, DK&& d_key, DV&& d_value, const Q& q, const K& k, const V& v,
                     const F& forward, const DO& d_output, More&&... more) const {
    return with_parts(
        [&](auto&... p) {
          return attention_backward_into(d_query, d_key, d_value, q, k, v, forward, d_output, p...);
        },
        more...);
  }
  template <class T, class L, class... More>
  auto backward_into(TensorView<T> d_query, engine::Written<T> d_key, engine::Written<T> d_value,
                     engine::Read<T> q, engine::Read<T> k, engine::Read<T> v,
                     engine::Read<T> output, TensorView<L> log_sum_exp, engine::Read<T> d_output,
                     More&&... more) const {
    return with_parts(
        [&](auto&... p) {
          return attention_backward_into(d_query, d_key, d_value, q, k, v, output, log_sum_exp,
                                         d_output, p...);
        },
        more...);
  }
  /// f(stored parts..., more...), for calls that are not members:
  ///     mechanism.with_parts([&](auto&... parts) { return plan(Q, K, V, parts...); })
  template <class F, class... More>
  auto with_parts(F&& f, More&... more) const {
    return std::apply([&](const auto&... stored) { return f(stored..., more...); }, parts_);
  }

 private:
  std::tuple<Parts...> parts_;
};

ATTN_END_NAMESPACE
