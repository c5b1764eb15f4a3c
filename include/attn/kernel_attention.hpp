// SPDX-License-Identifier: Apache-2.0
// Kernel attention: softmax's exp(q . k) replaced by phi(q) . phi(k), so that sums over keys can be
// taken once for all queries and the cost is linear in the number of tokens.
//
//     O_i = sum_j (phi(q_i) . phi(k_j)) v_j / sum_j phi(q_i) . phi(k_j)
//         = phi(q_i)^T (sum_j phi(k_j) v_j^T) / (phi(q_i) . sum_j phi(k_j))
//
// Forward and backward, over all keys or under Causal. feature_map.hpp has the maps phi; the work
// is done in engine/kernel_call.hpp.
#pragma once

#include <type_traits>
#include <utility>

#include <attn/check.hpp>
#include <attn/concepts.hpp>
#include <attn/config.hpp>
#include <attn/engine/call_check.hpp>
#include <attn/engine/front.hpp>
#include <attn/engine/kernel_call.hpp>
#include <attn/engine/linear_call.hpp>
#include <attn/engine/parts.hpp>
#include <attn/feature_map.hpp>
#include <attn/mask.hpp>
#include <attn/tensor_view.hpp>
#include <attn/workspace.hpp>

ATTN_BEGIN_NAMESPACE

/// What kernel_attention_backward needs of a forward pass.
template <class O, class D>
struct KernelForward {
  O output;
  D normalizer;  ///< n_q x heads, in the accumulator type: what the output was divided by
};

/// Gradients with the shapes of Q, K and V.
template <class Q, class K, class V>
struct KernelBackward {
  Q query;
  K key;
  V value;
};

namespace engine {

inline constexpr EluPlusOne default_map{};

template <class P>
inline constexpr bool is_kernel_part =
    PartOf<P, role::feature_map> || std::is_same_v<std::remove_cvref_t<P>, Causal> ||
    PartOf<P, role::heads> || PartOf<P, role::executor> || PartOf<P, role::workspace>;

template <class Q, class K, class V, class... Parts>
consteval bool diagnose_kernel_call() {
  constexpr bool valid = diagnose_inputs<Q, K, V>();
  if constexpr (valid) {
    const bool parts = diagnose_parts<typename Q::Scalar, Parts...>();
    static_assert((true && ... && is_kernel_part<Parts>),
                  "attn::kernel_attention: a call takes a feature map, Causal, Heads, an executor "
                  "and a Workspace. Leave the others out: its scores are never made one by one.");
    static_assert(count_of<role::feature_map, Parts...> <= 1 && count_of<role::mask, Parts...> <= 1,
                  "attn::kernel_attention: a call has one feature map and one Causal, and here are "
                  "two of a kind. Keep one of them.");
    return parts && (true && ... && is_kernel_part<Parts>);
  } else {
    return false;
  }
}

/// Every query sees all keys, or those up to its own position.
template <class... Parts>
Alignment kernel_alignment(Index n_q, Index n_k, const Parts&... parts) {
  Index offset = n_k;
  [[maybe_unused]] const auto look = [&](const auto& part) {
    if constexpr (std::is_same_v<std::remove_cvref_t<decltype(part)>, Causal>)
      offset = aligned_offset(part.offset, part.from_bottom_right, {n_q, n_k});
  };
  (look(parts), ...);
  return {n_q, n_k, offset};
}

template <class T, class... Parts>
void check_kernel_inputs(const char* name, const Inputs<T>& in, const Parts&... parts) {
  check_linear_tokens(name, in);
  check_value_rows(name, in.n_k(), in.v.tokens());
  check_part(part_of<role::executor>(default_executor, parts...), CallSizes{.name = name});
}

/// Checks a forward call and runs it.
template <class T, class... Parts>
void run_kernel_forward(const char* name, const KernelViews<T, Accumulator<T>>& views,
                        Parts&... parts) {
  const Inputs<T>& in = views.in;
  check_kernel_inputs(name, in, parts...);
  check_view(name, "O", views.output, in.q.heads(), in.n_q(), in.v.features(), in);
  check_view(name, "the normalizer", views.normalizer, in.q.heads(), in.n_q(), 1, in);
  StackScratch small;
  Workspace own(small);
  const Alignment tokens = kernel_alignment(in.n_q(), in.n_k(), parts...);
  for_each_kernel_head(
      in, part_of<role::feature_map>(default_map, parts...), false,
      part_of<role::executor>(default_executor, parts...), workspace_of(own, parts...),
      [&](const auto& walk, auto& scratch) { kernel_forward(walk, tokens, scratch.sums, views); });
}

/// Checks a backward call and runs it.
template <class T, class... Parts>
void run_kernel_backward(const char* name, const KernelBackwardViews<T, Accumulator<T>>& views,
                         Parts&... parts) {
  using A = Accumulator<T>;
  const Inputs<T>& in = views.in;
  const auto& map = part_of<role::feature_map>(default_map, parts...);
  using Map = std::remove_cvref_t<decltype(map)>;
  static_assert(std::is_invocable_v<const Map&, const Dual<A, 1>&>,
                "attn::kernel_attention_backward: this feature map takes a plain number, which "
                "works forward only. Write it with `auto x`, so that it takes dual numbers.");
  check_kernel_inputs(name, in, parts...);
  check_backward(name, in,
                 BackwardViews<T, A>{views.output, views.normalizer, views.d_output, views.d_query,
                                     views.d_key, views.d_value},
                 "the forward result's normalizer");
  StackScratch small;
  Workspace own(small);
  const Alignment tokens = kernel_alignment(in.n_q(), in.n_k(), parts...);
  for_each_kernel_head(in, map, true, part_of<role::executor>(default_executor, parts...),
                       workspace_of(own, parts...), [&](const auto& walk, auto& scratch) {
                         KernelBackwardTask<T, Map>(walk, tokens, views, scratch.sums,
                                                    scratch.outputs, scratch.d_keys,
                                                    scratch.d_values)
                             .run();
                       });
}

}  // namespace engine

/// O and what backward needs; see kernel_attention.  Shapes  normalizer n_q x heads
template <class Q, class K, class V, class... Parts>
auto kernel_attention_forward(const Q& q, const K& k, const V& v, Parts&&... parts) {
  constexpr bool valid =
      engine::diagnose_kernel_call<Q, K, V, Parts...>() && engine::diagnose_matrix<Q>();
  if constexpr (valid) {
    using T = typename Q::Scalar;
    const char* name = "kernel_attention";
    KernelForward<engine::OutputOf<Q, V, Parts...>, engine::LogSumExpOf<Q, Parts...>> result;
    engine::with_inputs(
        name, q, k, v,
        [&](const auto& in) {
          const Index heads = in.q.heads();
          result.output.resize(in.n_q(), heads * in.v.features());
          result.normalizer.resize(in.n_q(), heads);
          engine::run_kernel_forward<T>(
              name,
              {in, engine::view_columns<T>(result.output.data(), result.output, heads),
               engine::log_sum_exp_view(result.normalizer)},
              parts...);
        },
        parts...);
    return result;
  }
}

/// Attention with the weights phi(q) . phi(k) in place of exp(q . k), over a row's sum of them.
///
/// Shapes      Q n_q x d, K n_k x d, V n_k x d_v give O n_q x d_v, in Q's storage order
/// Parts       a feature map (EluPlusOne{} by default, feature_map(f) for your own), Causal, Heads
///             (grouped queries too), Threads or on(pool), Workspace; in any order
/// Empty rows  a query that sees no key, or whose weights sum to 0, gets a row of zeros
/// Non-finite  NaN or inf reaches the queries that see it and no other, nor their gradients
/// Cost        4 n d d_v + 64 n (d + d_v) flops a query head under Causal, 4 n d d_v without
/// Throws      ShapeError and ValueError before anything is written
/// Threads     over batches and key-value heads; same bits for any number
/// Source      Katharopoulos et al. 2020, eq. 4 to 12
template <class Q, class K, class V, class... Parts>
auto kernel_attention(const Q& q, const K& k, const V& v, Parts&&... parts) {
  constexpr bool valid =
      engine::diagnose_kernel_call<Q, K, V, Parts...>() && engine::diagnose_matrix<Q>();
  if constexpr (valid) return kernel_attention_forward(q, k, v, parts...).output;
}

/// The same into memory of the caller's: matrices all through, or TensorViews.
template <class O, class Q, class K, class V, class... Parts>
void kernel_attention_into(O&& o, const Q& q, const K& k, const V& v, Parts&&... parts) {
  constexpr bool writable = engine::diagnose_output<O>();
  constexpr bool valid = engine::diagnose_kernel_call<Q, K, V, Parts...>();
  if constexpr (writable && valid) {
    using T = typename Q::Scalar;
    const char* name = "kernel_attention_into";
    engine::with_inputs(
        name, q, k, v,
        [&](const auto& in) {
          engine::with_output<T>(name, o, in.q.heads(), [&](const auto& view) {
            engine::run_kernel_forward<T>(name, {in, view, {}}, parts...);
          });
        },
        parts...);
  }
}

/// The same into views of the caller's.
/// Shapes  o {batch, head, n_q, d_v}, normalizer {batch, head, n_q, 1} in the accumulator type
template <class T, class... Parts>
void kernel_attention_forward_into(TensorView<T> o, TensorView<Accumulator<T>> normalizer,
                                   engine::Read<T> q, engine::Read<T> k, engine::Read<T> v,
                                   Parts&&... parts) {
  using View = TensorView<const T>;
  constexpr bool valid = engine::diagnose_kernel_call<View, View, View, Parts...>();
  if constexpr (valid)
    engine::run_kernel_forward<T>("kernel_attention_forward_into", {{q, k, v}, o, normalizer},
                                  parts...);
}

/// Gradients of a loss by Q, K and V, given dO and the parts of the forward call.
///
/// Cost     12 n d d_v + 192 n (d + d_v) flops a query head under Causal; O(n) memory
/// Source   Katharopoulos et al. 2020, eq. 13 to 15
template <class Q, class K, class V, class F, class DO, class... Parts>
auto kernel_attention_backward(const Q& q, const K& k, const V& v, const F& forward,
                               const DO& d_output_, Parts&&... parts) {
  constexpr bool valid =
      engine::diagnose_kernel_call<Q, K, V, Parts...>() && engine::diagnose_matrix<Q>();
  if constexpr (valid) {
    using T = typename Q::Scalar;
    const char* name = "kernel_attention_backward";
    KernelBackward<typename Q::PlainObject, typename K::PlainObject, typename V::PlainObject>
        result;
    engine::with_inputs(
        name, q, k, v,
        [&](const auto& in) {
          const Index heads = in.q.heads(), key_heads = in.k.heads();
          const auto& d_output = engine::in_memory(d_output_);
          engine::check_divides(name, "the forward result's output", forward.output.cols(), heads);
          engine::check_divides(name, "dO", d_output.cols(), heads);
          result.query.resize(q.rows(), q.cols());
          result.key.resize(k.rows(), k.cols());
          result.value.resize(v.rows(), v.cols());
          engine::run_kernel_backward<T>(
              name,
              {in, engine::view_columns<const T>(forward.output.data(), forward.output, heads),
               engine::log_sum_exp_view(forward.normalizer),
               engine::view_columns<const T>(d_output.data(), d_output, heads),
               engine::view_columns<T>(result.query.data(), result.query, heads),
               engine::view_columns<T>(result.key.data(), result.key, key_heads),
               engine::view_columns<T>(result.value.data(), result.value, key_heads)},
              parts...);
        },
        parts...);
    return result;
  }
}

/// The same into views of the caller's, which are overwritten.
template <class T, class... Parts>
void kernel_attention_backward_into(TensorView<T> d_query, engine::Written<T> d_key,
                                    engine::Written<T> d_value, engine::Read<T> q,
                                    engine::Read<T> k, engine::Read<T> v, engine::Read<T> output,
                                    engine::Read<Accumulator<T>> normalizer,
                                    engine::Read<T> d_output, Parts&&... parts) {
  using View = TensorView<const T>;
  constexpr bool valid = engine::diagnose_kernel_call<View, View, View, Parts...>();
  if constexpr (valid)
    engine::run_kernel_backward<T>(
        "kernel_attention_backward_into",
        {{q, k, v}, output, normalizer, d_output, d_query, d_key, d_value}, parts...);
}

ATTN_END_NAMESPACE
