// SPDX-License-Identifier: Apache-2.0
// The products of a tile: a narrow door to the arithmetic. Everything hot goes through these three
// functions, which know nothing of parts, masks or layouts, so a faster kernel replaces them alone.
//
// In a tile of q queries and k keys, product_transposed takes 2 q k d flops and reads (q + k) d
// numbers; with q = k = 128 that is 128 flops a number, enough to run from the second-level cache.
#pragma once

#include <attn/config.hpp>
#include <attn/engine/panel.hpp>

ATTN_BEGIN_NAMESPACE
namespace engine {

/// C = factor A B^T: scores from queries and keys, dP from dO and V.
template <class A>
ATTN_NOINLINE void product_transposed(TileMap<A> c, ConstTileMap<A> a, const Operand<A>& b,
                                      A factor = A(1)) {
  b.visit([&](const auto& m) { c.noalias() = factor * a * m.transpose(); });
}

/// C += A B: outputs from weights and values, dQ from dS and keys.
template <class A>
ATTN_NOINLINE void add_product(TileMap<A> c, ConstTileMap<A> a, const Operand<A>& b) {
  b.visit([&](const auto& m) { c.noalias() += a * m; });
}

/// C += A^T B: dV from weights and dO, dK from dS and queries.
template <class A>
ATTN_NOINLINE void add_product_of_transposed(TileMap<A> c, ConstTileMap<A> a, ConstTileMap<A> b) {
  c.noalias() += a.transpose() * b;
}

/// The last two where B holds NaN or inf that belong to pairs which are not visible: a zero in
/// `visible` (which may be A itself) keeps a row of B out, where 0 * NaN would let it in. Only for
/// tiles in which that happens, so plain loops will do.
template <class A>
ATTN_NOINLINE void add_product_of_visible(TileMap<A> c, ConstTileMap<A> a, ConstTileMap<A> visible,
                                          const Operand<A>& b) {
  b.visit([&](const auto& m) {
    for (Index j = 0; j < a.cols(); ++j)
      for (Index i = 0; i < a.rows(); ++i)
        if (visible(i, j) != A(0)) c.row(i) += a(i, j) * m.row(j);
  });
}

template <class A>
ATTN_NOINLINE void add_product_of_transposed_visible(TileMap<A> c, ConstTileMap<A> a,
                                                     ConstTileMap<A> b) {
  for (Index j = 0; j < a.cols(); ++j)
    for (Index i = 0; i < a.rows(); ++i)
      if (a(i, j) != A(0)) c.row(j) += a(i, j) * b.row(i);
}

/// G += X^T D for the gradient of a weight matrix: rows of D that are zero keep X's rows out.
template <class A>
ATTN_NOINLINE void add_weight_gradient(MatrixX<A>& g, ConstTileMap<A> x, ConstTileMap<A> d) {
  if (Operand<A>(x).all_finite()) {
    g.noalias() += x.transpose() * d;
    return;
  }
  for (Index i = 0; i < x.rows(); ++i)
    if (!(d.row(i).array() == A(0)).all()) g += x.row(i).transpose() * d.row(i);
}

}  // namespace engine
ATTN_END_NAMESPACE
