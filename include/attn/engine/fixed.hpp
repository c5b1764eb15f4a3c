// SPDX-License-Identifier: Apache-2.0
// Attention of small matrices whose sizes the compiler knows, by Eigen's products, which unroll:
//
//     P = exp(Q K^T / sqrt(d))    O = P V / row sums of P
//
// Choosing a path at run time would take longer than the products. Next: attention.hpp.
#pragma once

#include <algorithm>
#include <type_traits>

#include <attn/concepts.hpp>
#include <attn/config.hpp>
#include <attn/engine/front.hpp>
#include <attn/score.hpp>
#include <attn/tensor_view.hpp>

ATTN_BEGIN_NAMESPACE
namespace engine {

/// Multiply-adds up to which this path wins: 4 queries and keys of 32 features.
inline constexpr int fixed_products = 1024;

/// Matrices of float or double in memory, of matching sizes that the compiler knows.
template <class Q, class K, class V>
consteval bool are_fixed() {
  if constexpr (EigenDense<Q> && EigenDense<K> && EigenDense<V>) {
    constexpr int n_q = Q::RowsAtCompileTime, d = Q::ColsAtCompileTime;
    constexpr int n_k = K::RowsAtCompileTime, d_v = V::ColsAtCompileTime;
    constexpr bool known = std::min({n_q, d, n_k, d_v}) > 0;
    constexpr bool match = K::ColsAtCompileTime == d && V::RowsAtCompileTime == n_k;
    constexpr bool plain = std::is_same_v<Accumulator<typename Q::Scalar>, typename Q::Scalar>;
    constexpr bool matrices = std::is_base_of_v<Eigen::MatrixBase<Q>, Q> &&
                              std::is_base_of_v<Eigen::MatrixBase<K>, K> &&
                              std::is_base_of_v<Eigen::MatrixBase<V>, V>;
    constexpr bool in_memory = has_direct_access<Q> && has_direct_access<K> && has_direct_access<V>;
    return known && match && plain && matrices && in_memory &&
           std::max({n_q, d, n_k, d_v}) <= fixed_products &&
           n_q * n_k <= fixed_products / (d + d_v);
  } else {
    return false;
  }
}

/// Whether attention(Q, K, V, parts...) goes this way.
template <class Q, class K, class V, class... Parts>
inline constexpr bool takes_fixed_path = sizeof...(Parts) == 0 && are_fixed<Q, K, V>();

/// O = softmax(Q K^T / sqrt(d)) V where scores are so near to zero that they can do without their
/// maximum; false, and O is not to be used, where they are not, or not finite.
///
/// With |S| < 64 as a matrix every exponential lies within e^-64 .. e^64: none becomes zero, and no
/// sum overflows.
template <class Q, class K, class V, class O>
ATTN_INLINE bool attend_fixed(const Q& q, const K& k, const V& v, O& o) {
  using A = typename Q::Scalar;
  constexpr A longest(64);
  constexpr int n_q = Q::RowsAtCompileTime, n_k = K::RowsAtCompileTime;
  const A factor = static_cast<A>(ScaledDotProduct{}.scale_for(q.cols()));
  ResultMatrix<A, n_q, n_k, Q::IsRowMajor> p;
  p.noalias() = q * k.transpose();
  if (!(factor * factor * p.squaredNorm() < longest * longest)) return false;
  p = (factor * p.array()).exp();
  const Eigen::Matrix<A, n_q, 1> one_over_sum = p.rowwise().sum().cwiseInverse();
  p.array().colwise() *= one_over_sum.array();
  o.noalias() = p * v;
  return true;
}

}  // namespace engine
ATTN_END_NAMESPACE
