// SPDX-License-Identifier: Apache-2.0
// Score functions as the engine computes them: for tiles, forward and backward.
//
// Most reduce to a plain product after a transformation of Q or K, done once:
//
//     scaled dot  factor = scale
//     bilinear    q' = q W
//     cosine      q' = scale q/|q|, k' = k/|k|
//
// so S = factor Q' K'^T for all of them, and backward turns dQ', dK' into dQ, dK and the gradients
// of the part. `is_product` is false for those that compute a tile of their own: additive scores
// (additive_tile.hpp) and a user's.
#pragma once

#include <cmath>
#include <type_traits>

#include <attn/config.hpp>
#include <attn/dual.hpp>
#include <attn/engine/additive_tile.hpp>
#include <attn/engine/kernel.hpp>
#include <attn/engine/packet.hpp>
#include <attn/engine/panel.hpp>
#include <attn/score.hpp>
#include <attn/workspace.hpp>

ATTN_BEGIN_NAMESPACE
namespace engine {

/// The numbers of a part in the accumulator type: in place where they have it, else in the arena.
template <class A, class T>
Operand<A> bind_matrix(const Parameter<T>& p, Arena& arena) {
  A* buffer = arena.take<A>(p.size());
  const TensorView<const T> t = p.tensor();
  if (buffer == nullptr || p.size() == 0) return {nullptr, p.rows(), p.cols(), p.rows(), false};
  return load_operand<A>(Slice<const T>(t, 0, 0), 0, p.rows(), buffer);
}

template <class A, class T>
const A* bind_vector(const Parameter<T>& p, Arena& arena) {
  A* buffer = arena.take<A>(p.size());
  if (buffer)
    for (Index k = 0; k < p.size(); ++k) buffer[k] = static_cast<A>(p(k));
  return p.size() == 0 ? nullptr : buffer;
}

/// S = scale Q K^T.
template <class A>
struct ScaledDotTile {
  static constexpr bool is_product = true;
  static constexpr bool projects_queries = false;
  static constexpr bool projects_keys = false;
  A scale;

  static Index query_width(Index d, Index) { return d; }
  static Index key_width(Index, Index d_k) { return d_k; }
  A factor() const { return scale; }

  template <class G>
  void project_query_backward(ConstTileMap<A> q, ConstTileMap<A> d, TileMap<A> dq, G& g) const {
    dq = d * scale;
    if constexpr (requires { g.scale; }) {
      const A sum = q.cwiseProduct(d).sum();
      g.scale += std::isfinite(sum) ? sum : sum_of_seen(q, d);
    }
  }

 private:
  /// Without what rows hold that see nothing.
  static A sum_of_seen(ConstTileMap<A> q, ConstTileMap<A> d) {
    return (d.array() == A(0)).select(A(0), q.cwiseProduct(d)).sum();
  }
};

/// S = scale q/|q| . k/|k|.
template <class A>
struct CosineTile {
  static constexpr bool is_product = true;
  static constexpr bool projects_queries = true;
  static constexpr bool projects_keys = true;
  A scale;

  static A factor() { return A(1); }

  static Index query_width(Index d, Index) { return d; }
  static Index key_width(Index, Index d_k) { return d_k; }
  void project_query(ConstTileMap<A> q, TileMap<A> out) const { normalise(q, out, scale); }
  void project_key(ConstTileMap<A> k, TileMap<A> out) const { normalise(k, out, A(1)); }

  template <class G>
  void project_query_backward(ConstTileMap<A> q, ConstTileMap<A> d, TileMap<A> dq, G& g) const {
    for (Index i = 0; i < q.rows(); ++i)
      g.scale += row_backward(q.row(i), d.row(i), dq.row(i), scale);
  }
  template <class G>
  void project_key_backward(ConstTileMap<A> k, ConstTileMap<A> d, TileMap<A> dk, G&) const {
    for (Index j = 0; j < k.rows(); ++j) row_backward(k.row(j), d.row(j), dk.row(j), A(1));
  }

 private:
  static void normalise(ConstTileMap<A> x, TileMap<A> out, A factor) {
    for (Index i = 0; i < x.rows(); ++i) {
      const A norm = x.row(i).stableNorm();
      if (norm == A(0))
        out.row(i).setZero();
      else
        out.row(i) = x.row(i) * (factor / norm);
    }
  }
  /// dx = factor (d - u (u.d)) / |x| with u = x / |x|; returns u.d, the gradient of the factor.
  template <class X, class D, class Out>
  static A row_backward(const X& x, const D& d, Out&& dx, A factor) {
    dx.setZero();
    const A norm = x.stableNorm();
    if (norm == A(0) || (d.array() == A(0)).all()) return A(0);
    const A along = x.dot(d) / norm;
    dx = (d - x * (along / norm)) * (factor / norm);
    return along;
  }
};

/// S = (Q W) K^T.
template <class A>
struct BilinearTile {
  static constexpr bool is_product = true;
  static constexpr bool projects_queries = true;
  static constexpr bool projects_keys = false;
  Operand<A> W;

  static A factor() { return A(1); }

  static Index query_width(Index, Index d_k) { return d_k; }
  static Index key_width(Index, Index d_k) { return d_k; }
  void project_query(ConstTileMap<A> q, TileMap<A> out) const {
    out.setZero();
    add_product<A>(out, q, W);
  }
  template <class G>
  void project_query_backward(ConstTileMap<A> q, ConstTileMap<A> d, TileMap<A> dq, G& g) const {
    product_transposed<A>(dq, d, W);
    add_weight_gradient<A>(g.W, q, d);
  }
};

/// S_ij = f(q_i, k_j), pair by pair.
template <class A, class F>
struct FunctionTile {
  static constexpr bool is_product = false;
  static constexpr bool can_hide = true;  // f may return -inf
  static constexpr bool projects_queries = true;
  static constexpr bool projects_keys = true;  // so that K is there in the accumulator type
  const F& f;
  Index d;  ///< features of a query

  using Row = Eigen::Map<const RowVectorX<A>, Eigen::Unaligned, Eigen::InnerStride<>>;
  using D = Dual<A>;

  static Index query_width(Index d, Index) { return d; }
  static Index key_width(Index, Index d_k) { return d_k; }
  void project_query(ConstTileMap<A> q, TileMap<A> out) const { out = q; }
  void project_key(ConstTileMap<A> k, TileMap<A> out) const { out = k; }

  void scores(const PaddedTile<A>& s, Index rows, const PaddedTile<A>& q,
              const Operand<A>& k) const {
    for (Index j = 0; j < k.rows; ++j)
      for (Index i = 0; i < rows; ++i) s.column(j)[i] = static_cast<A>(f(row(q, i), key_row(k, j)));
  }

  template <class G>
  void scores_backward(const PaddedTile<A>& ds, Index rows, const PaddedTile<A>& q,
                       const Operand<A>& k, const PaddedTile<A>& dq, TileMap<A> dk, G&) const {
    using DualRow = RowVectorX<D>;
    static_assert(
        std::is_invocable_v<const F&, const DualRow&, const DualRow&>,
        "attn::attention_backward: this score_function takes rows of plain numbers, which "
        "works forward only. Write it with `const auto& q, const auto& k`.");
    DualRow q_dual(d), k_dual(k.cols);
    for (Index j = 0; j < k.rows; ++j)
      for (Index i = 0; i < rows; ++i) {
        const A d_score = ds.column(j)[i];
        if (d_score == A(0)) continue;
        q_dual = row(q, i).template cast<D>();
        k_dual = key_row(k, j).template cast<D>();
        for (Index c = 0; c < d; ++c)
          dq.column(c)[i] += d_score * derivative(q_dual, k_dual, q_dual(c));
        for (Index c = 0; c < k.cols; ++c)
          dk(j, c) += d_score * derivative(q_dual, k_dual, k_dual(c));
      }
  }

  template <class G>
  void project_query_backward(ConstTileMap<A>, ConstTileMap<A> d_query, TileMap<A> dq, G&) const {
    dq = d_query;
  }
  template <class G>
  void project_key_backward(ConstTileMap<A>, ConstTileMap<A> d_key, TileMap<A> dk, G&) const {
    dk = d_key;
  }

 private:
  template <class DualRow>
  A derivative(const DualRow& q, const DualRow& k, D& variable) const {
    variable.derivative[0] = A(1);
    const D result = f(q, k);
    variable.derivative[0] = A(0);
    return result.derivative[0];
  }
  Row row(const PaddedTile<A>& q, Index i) const {
    return Row(q.data + i, d, Eigen::InnerStride<>(q.stride));
  }
  static Row key_row(const Operand<A>& k, Index j) {
    return k.row_major ? Row(k.data + j * k.stride, k.cols, Eigen::InnerStride<>(1))
                       : Row(k.data + j, k.cols, Eigen::InnerStride<>(k.stride));
  }
};

// What the engine runs for each part; d is the feature size of one query head.
template <class A>
ScaledDotTile<A> bind_score(const DotProduct&, Index, Arena&) {
  return {A(1)};
}
template <class A>
ScaledDotTile<A> bind_score(const ScaledDotProduct& part, Index d, Arena&) {
  return {static_cast<A>(part.scale_for(d))};
}
template <class A>
CosineTile<A> bind_score(const CosineSimilarity& part, Index, Arena&) {
  return {static_cast<A>(double(part.scale))};
}
template <class A, class T>
BilinearTile<A> bind_score(const Bilinear<T>& part, Index, Arena& arena) {
  return {bind_matrix<A>(part.W, arena)};
}
template <class A, class T>
AdditiveTile<A> bind_score(const Additive<T>& part, Index, Arena& arena) {
  const Operand<A> Wq = bind_matrix<A>(part.Wq, arena), Wk = bind_matrix<A>(part.Wk, arena);
  return {Wq, Wk, part.v.size(), bind_vector<A>(part.v, arena), bind_vector<A>(part.b, arena)};
}
template <class A, class F>
FunctionTile<A, F> bind_score(const ScoreFunction<F>& part, Index d, Arena&) {
  return {part.f, d};
}

}  // namespace engine
ATTN_END_NAMESPACE
