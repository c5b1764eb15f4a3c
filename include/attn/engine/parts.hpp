// SPDX-License-Identifier: Apache-2.0
// Sorting the arguments behind Q, K, V by role, and what is said at compile time of wrong ones.
#pragma once

#include <cstddef>
#include <tuple>
#include <type_traits>

#include <attn/concepts.hpp>
#include <attn/config.hpp>
#include <attn/engine/program.hpp>
#include <attn/executor.hpp>
#include <attn/mask.hpp>
#include <attn/normalizer.hpp>
#include <attn/score.hpp>
#include <attn/tensor_view.hpp>
#include <attn/workspace.hpp>

ATTN_BEGIN_NAMESPACE
namespace engine {

template <class Role, class... Parts>
inline constexpr std::size_t count_of = (std::size_t(0) + ... + std::size_t(PartOf<Parts, Role>));

template <class T, class P>
inline constexpr bool shares_scalar = true;
template <class T, class P>
requires requires { typename P::Scalar; }
inline constexpr bool shares_scalar<T, P> = std::is_same_v<typename P::Scalar, T>;

template <class E>
inline constexpr bool is_array = EigenDense<E> || TensorViewLike<E>;

/// One sentence for each argument that is no part, with the way out.
template <class P>
consteval bool diagnose_part() {
  using Plain = std::remove_cvref_t<P>;
  static_assert(
      !std::is_same_v<Plain, bool>,
      "attn: a bool is not a part of attention. Name what you mean: Causal{}, or a matrix "
      "of bool as DenseMask{M}.");
  static_assert(!is_array<Plain>,
                "attn: a matrix is not a part of attention. Wrap it: DenseBias{B} adds it to the "
                "scores, DenseMask{M} masks with it.");
  static_assert(!std::is_arithmetic_v<Plain> || std::is_same_v<Plain, bool>,
                "attn: a number is not a part of attention. Name what it is: "
                "ScaledDotProduct{.scale = x}, Softcap{c}, Heads{n}, Threads{n}.");
  static_assert(Part<Plain> || is_array<Plain> || std::is_arithmetic_v<Plain>,
                "attn: this argument has no role in attention. Wrap a function: score_mod(f), "
                "mask_mod(f), prob_mod(f) or score_function(f).");
  static_assert(!(PartOf<P, role::workspace> && std::is_const_v<std::remove_reference_t<P>>),
                "attn: a const Workspace cannot grow. Pass a Workspace that is not const.");
  return Part<Plain>;
}

/// At most one part of each exclusive role.
template <class... Parts>
consteval bool diagnose_roles() {
  const bool are_parts = (true && ... && diagnose_part<Parts>());
  static_assert(count_of<role::score_function, Parts...> <= 1,
                "attn: a call has one score function, and here are two. Keep one of them.");
  static_assert(count_of<role::normalizer, Parts...> <= 1,
                "attn: a call has one normaliser, and here are two. Keep one of them.");
  static_assert(count_of<role::heads, Parts...> <= 1,
                "attn: a call has one Heads, and here are two. Keep one of them.");
  static_assert(count_of<role::executor, Parts...> <= 1,
                "attn: a call has one executor (Threads, on(pool)), and here are two. Keep one.");
  static_assert(count_of<role::workspace, Parts...> <= 1,
                "attn: a call has one Workspace, and here are two. Keep one of them.");
  static_assert(count_of<role::position_offset, Parts...> <= 1,
                "attn: a call has one PositionOffset, and here are two. Keep one of them.");
  static_assert(count_of<role::sequences, Parts...> <= 1,
                "attn: a call has one CumulativeLengths, and here are two. Keep one of them.");
  return are_parts;
}

/// Everything that can be known of the parts before the call. T is the scalar of Q.
template <class T, class... Parts>
consteval bool diagnose_parts() {
  const bool are_parts = diagnose_roles<Parts...>();
  static_assert((true && ... && shares_scalar<T, std::remove_cvref_t<Parts>>),
                "attn: the matrices of a part have another scalar type than Q. Cast one of them: "
                "DenseBias{B.cast<float>()}.");
  return are_parts;
}

/// The calls that return matrices make them as Q, K and V are.
template <class Q>
consteval bool diagnose_matrix() {
  static_assert(!TensorViewLike<Q>,
                "attn: TensorViews go to the calls that write into given memory: attention_into, "
                "attention_forward_into, attention_weights_into, attention_backward_into.");
  return !TensorViewLike<Q>;
}

/// Two sizes of which one is known only at run time may still agree.
template <int a, int b>
inline constexpr bool fixed_sizes_agree = a == b || a == Eigen::Dynamic || b == Eigen::Dynamic;

/// The score functions that multiply Q and K feature by feature.
template <class P>
inline constexpr bool needs_same_features =
    std::is_same_v<P, DotProduct> || std::is_same_v<P, ScaledDotProduct> ||
    std::is_same_v<P, CosineSimilarity>;

/// Feature sizes that are fixed must fit the score function, unless heads share the columns.
template <class Q, class K, class... Parts>
consteval bool diagnose_features() {
  if constexpr (EigenDense<Q> && EigenDense<K> && count_of<role::heads, Parts...> == 0) {
    constexpr bool product = count_of<role::score_function, Parts...> == 0 ||
                             (false || ... || needs_same_features<std::remove_cvref_t<Parts>>);
    static_assert(!product || fixed_sizes_agree<Q::ColsAtCompileTime, K::ColsAtCompileTime>,
                  "attn: Q and K have different numbers of columns; both need the same feature "
                  "size d. Is one of them transposed?");
  }
  static_assert(EigenDense<Q> || count_of<role::heads, Parts...> == 0,
                "attn: TensorViews carry their heads in their shape. Leave Heads out.");
  return true;
}

/// Q, K and V share one scalar type, which is one of four.
template <class Q, class K, class V>
consteval bool diagnose_inputs() {
  static_assert(
      is_array<V> || !is_array<K>,
      "attn: the third argument must be the values V, and a part stands there. Call "
      "attention(Q, K, V, parts...); for the weights alone, attention_weights(Q, K, ...).");
  static_assert(is_array<Q> && is_array<K>,
                "attn: Q and K must be Eigen matrices or expressions (or TensorViews).");
  static_assert(
      !(is_array<Q> && is_array<K> && is_array<V>) ||
          (TensorViewLike<Q> == TensorViewLike<K> && TensorViewLike<Q> == TensorViewLike<V>),
      "attn: Q, K and V must all be matrices or all be TensorViews. view(matrix, Heads{n}) "
      "makes a view of a matrix.");
  if constexpr (is_array<Q> && is_array<K> && is_array<V>) {
    using T = typename Q::Scalar;
    static_assert(Scalar<T>,
                  "attn: Q must hold float, double, Eigen::half or Eigen::bfloat16. Cast "
                  "it: Q.cast<float>().");
    static_assert(std::is_same_v<T, typename K::Scalar>,
                  "attn: Q and K have different scalar types. Cast one of them: K.cast<float>().");
    static_assert(std::is_same_v<T, typename V::Scalar>,
                  "attn: Q and V have different scalar types. Cast one of them: V.cast<float>().");
    if constexpr (EigenDense<K> && EigenDense<V>)
      static_assert(fixed_sizes_agree<K::RowsAtCompileTime, V::RowsAtCompileTime>,
                    "attn: K and V have different numbers of rows; each key needs one value.");
    return Scalar<T> && std::is_same_v<T, typename K::Scalar> &&
           std::is_same_v<T, typename V::Scalar>;
  } else {
    return false;
  }
}

/// All of it for the inputs and parts of one call.
template <class Q, class K, class V, class... Parts>
consteval bool diagnose_call() {
  constexpr bool inputs = diagnose_inputs<Q, K, V>();
  if constexpr (inputs) {
    const bool parts = diagnose_parts<typename Q::Scalar, Parts...>();
    return diagnose_features<Q, K, Parts...>() && parts;
  } else {
    return false;
  }
}

template <class Role, class P>
auto tuple_if(const P& part) {
  if constexpr (PartOf<P, Role>)
    return std::tuple<const P&>(part);
  else
    return std::tuple<>();
}

/// References to all parts of one role, in their order.
template <class Role, class... Parts>
auto parts_of(const Parts&... parts) {
  return std::tuple_cat(std::tuple<>(), tuple_if<Role>(parts)...);
}

/// The one part of a role, or the default.
template <class Role, class Default, class... Parts>
const auto& part_of(const Default& fallback, const Parts&... parts) {
  if constexpr (count_of<Role, Parts...> == 0)
    return fallback;
  else
    return std::get<0>(parts_of<Role>(parts...));
}

inline constexpr ScaledDotProduct default_score{};
inline constexpr Softmax default_normalizer{};
inline constexpr CallingThread default_executor{};
inline constexpr PositionOffset default_offset{};
inline constexpr Heads default_heads{};

/// f(program) with the parts of a call.
template <class A, class F, class... Parts>
decltype(auto) with_program(Index n_q, Index n_k, F&& f, const Parts&... parts) {
  const auto& score = part_of<role::score_function>(default_score, parts...);
  const auto& normalizer = part_of<role::normalizer>(default_normalizer, parts...);
  const auto mods = parts_of<role::score_mod>(parts...);
  const auto masks = parts_of<role::mask>(parts...);
  const auto probs = parts_of<role::prob_mod>(parts...);
  using P = Program<A, std::remove_cvref_t<decltype(score)>,
                    std::remove_cvref_t<decltype(normalizer)>, std::remove_const_t<decltype(mods)>,
                    std::remove_const_t<decltype(masks)>, std::remove_const_t<decltype(probs)>>;
  return f(P{score, normalizer, mods, masks, probs,
             part_of<role::position_offset>(default_offset, parts...), find_padding(parts...), n_q,
             n_k});
}

/// Whether Q, K and V hold sequences one behind the other.
template <class... Parts>
inline constexpr bool is_packed = count_of<role::sequences, Parts...> > 0;

/// The normaliser that a Forward is marked with.
template <class... Parts>
using NormalizerOf = std::conditional_t<
    count_of<role::prob_mod, Parts...> == 0,
    std::remove_cvref_t<decltype(part_of<role::normalizer>(
        default_normalizer, std::declval<const std::remove_cvref_t<Parts>&>()...))>,
    NotMergeable>;

}  // namespace engine
ATTN_END_NAMESPACE
