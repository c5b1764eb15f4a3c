// SPDX-License-Identifier: Apache-2.0
// Root-mean-square norm of the heads of queries or keys, forward and backward, in place.
//
//     y = w x r,  r = (mean_f x_f^2 + eps)^(-1/2)
//     dx = r w dy - x r^3 mean_f(w_f dy_f x_f),  dw = sum over tokens and heads of dy x r
//
// Features are contiguous. Source: Zhang & Sennrich 2019 (RMSNorm), eq. 4.
#pragma once

#include <cmath>

#include <attn/concepts.hpp>
#include <attn/config.hpp>
#include <attn/tensor_view.hpp>

ATTN_BEGIN_NAMESPACE
namespace engine {

/// f(batch, head, token) for every head of every token.
template <class T, class F>
void for_each_token(const TensorView<T>& view, F&& f) {
  for (Index b = 0; b < view.batches(); ++b)
    for (Index h = 0; h < view.heads(); ++h)
      for (Index t = 0; t < view.tokens(); ++t) f(b, h, t);
}

template <class A>
A inverse_rms(const VectorX<A>& x, double eps) {
  return A(1) / std::sqrt(x.squaredNorm() / static_cast<A>(x.size()) + static_cast<A>(eps));
}

/// w has one number a feature and serves all heads.
template <class T, class A>
void norm_heads(const TensorView<T>& view, const VectorX<A>& w, double eps) {
  VectorX<A> x;
  for_each_token(view, [&](Index b, Index h, Index t) {
    Eigen::Map<VectorX<T>> here(view.pointer(b, h, t), view.features());
    x = here.template cast<A>();
    here = (inverse_rms(x, eps) * w.cwiseProduct(x)).template cast<T>();
  });
}

/// `d` holds the gradient by y and gets that by x, the numbers before the norm; returns dw. A head
/// without gradient stays without one, whatever x is there: padding may hold NaN.
template <class T, class A>
VectorX<A> norm_heads_backward(const TensorView<T>& d, const TensorView<const T>& before,
                               const VectorX<A>& w, double eps) {
  VectorX<A> dw = VectorX<A>::Zero(w.size()), x, dy, w_dy;
  for_each_token(d, [&](Index b, Index h, Index t) {
    Eigen::Map<VectorX<T>> here(d.pointer(b, h, t), d.features());
    dy = here.template cast<A>();
    if ((dy.array() == A(0)).all()) return;
    x = Eigen::Map<const VectorX<T>>(before.pointer(b, h, t), d.features()).template cast<A>();
    const A r = inverse_rms(x, eps);
    dw += r * dy.cwiseProduct(x);
    w_dy = w.cwiseProduct(dy);
    const A along = w_dy.dot(x) / static_cast<A>(x.size());
    here = (r * w_dy - (r * r * r * along) * x).template cast<T>();
  });
  return dw;
}

}  // namespace engine
ATTN_END_NAMESPACE
