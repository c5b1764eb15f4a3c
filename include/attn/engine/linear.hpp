// SPDX-License-Identifier: Apache-2.0
// The linear maps of layers, for rows of tokens, with arithmetic in the accumulator type.
//
//     y = x W^T + b,  dx = dy W,  dW = dy^T x,  db = sum over rows of dy
#pragma once

#include <type_traits>

#include <attn/concepts.hpp>
#include <attn/config.hpp>
#include <attn/engine/token_rows.hpp>

ATTN_BEGIN_NAMESPACE
namespace engine {

/// Rows of the accumulator type: the argument itself where it has it.
template <class T>
decltype(auto) accumulated(const TokenRows<T>& rows) {
  if constexpr (std::is_same_v<T, Accumulator<T>>)
    return (rows);
  else
    return TokenRows<Accumulator<T>>(rows.template cast<Accumulator<T>>());
}

/// Writes y, which has its size; b may be empty.
template <class Y, class T, class W, class B>
void linear(Y&& y, const TokenRows<T>& x, const W& weight, const B& b) {
  if constexpr (std::is_same_v<T, Accumulator<T>>) {
    y.noalias() = x * weight.transpose();
    if (b.size() > 0) y.rowwise() += b.transpose();
  } else {
    using A = Accumulator<T>;
    TokenRows<A> sum;
    sum.noalias() = accumulated(x) * weight.template cast<A>().transpose();
    if (b.size() > 0) sum.rowwise() += b.template cast<A>().transpose();
    y = sum.template cast<T>();
  }
}

/// dy^T x. Tokens that reached nothing count as zeros, whatever is there: the NaN of a padding is
/// in no gradient.
template <class DW, class D, class A>
void weight_gradient(DW&& d_weight, const D& dy, const TokenRows<A>& x) {
  if (x.allFinite()) {
    d_weight.noalias() = dy.transpose() * x;
    return;
  }
  TokenRows<A> reached = x;
  for (Index i = 0; i < x.rows(); ++i)
    if ((dy.row(i).array() == A(0)).all()) reached.row(i).setZero();
  d_weight.noalias() = dy.transpose() * reached;
}

/// Sets dW and db (unless that is empty) and adds dy W to dx; all in the accumulator type.
template <class A, class D, class T, class W, class DW, class DB>
void linear_backward(TokenRows<A>& dx, const D& dy, const TokenRows<T>& x, const W& weight,
                     DW&& d_weight, DB&& d_bias) {
  dx.noalias() += dy * weight.template cast<A>();
  weight_gradient(d_weight, dy, accumulated(x));
  if (d_bias.size() > 0) d_bias = dy.colwise().sum().transpose();
}

}  // namespace engine
ATTN_END_NAMESPACE
