// SPDX-License-Identifier: Apache-2.0
// Additive scores as the engine computes them: S_ij = sum_c v_c tanh(q'_ic + k'_jc) with
// q' = q Wq + b and k' = k Wk, each computed once.
//
// A tile of q queries and k keys takes q k a values of tanh and nothing of that size is stored.
// Packs hold neighbouring queries as everywhere in the engine; where the queries are fewer than
// half a pack (attention pooling has one), they hold neighbouring keys instead.
#pragma once

#include <algorithm>

#include <attn/config.hpp>
#include <attn/engine/kernel.hpp>
#include <attn/engine/packet.hpp>
#include <attn/engine/panel.hpp>

ATTN_BEGIN_NAMESPACE
namespace engine {

template <class A>
struct AdditiveTile {
  static constexpr bool is_product = false;
  static constexpr bool projects_queries = true;
  static constexpr bool projects_keys = true;
  Operand<A> Wq;
  Operand<A> Wk;
  Index a;
  const A* v;
  const A* b;  ///< null without bias

  using P = Pack<A>;

  Index query_width(Index, Index) const { return a; }
  Index key_width(Index, Index) const { return a; }
  void project_query(ConstTileMap<A> q, TileMap<A> out) const {
    for (Index c = 0; c < a; ++c) out.col(c).setConstant(b ? b[c] : A(0));
    add_product<A>(out, q, Wq);
  }
  void project_key(ConstTileMap<A> k, TileMap<A> out) const {
    out.setZero();
    add_product<A>(out, k, Wk);
  }

  /// k: projected keys, column by column as TileWalk keeps them.
  void scores(const PaddedTile<A>& s, Index rows, const PaddedTile<A>& q,
              const Operand<A>& k) const {
    if (lanes_are_keys(rows)) return scores_along_keys(s, rows, q, k);
    for (Index j = 0; j < k.rows; ++j)
      for (Index i = 0; i < rows; i += P::width) {
        P sum(0);
        for (Index c = 0; c < a; ++c)
          sum += P(v[c]) * tanh(P::load(q.column(c) + i) + P(keys(k, j, c)[0]));
        sum.store(s.column(j) + i);
      }
  }

  /// Adds to dq and dk what dS sends back, and to the gradient of v.
  template <class G>
  void scores_backward(const PaddedTile<A>& ds, Index rows, const PaddedTile<A>& q,
                       const Operand<A>& k, const PaddedTile<A>& dq, TileMap<A> dk, G& g) const {
    if (lanes_are_keys(rows)) return backward_along_keys(ds, rows, q, k, dq, dk, g);
    for (Index c = 0; c < a; ++c) {
      P dv(0);
      for (Index j = 0; j < k.rows; ++j) {
        P dk_sum(0);
        for (Index i = 0; i < rows; i += P::width) {
          const P t = tanh(P::load(q.column(c) + i) + P(keys(k, j, c)[0]));
          const P through = send_back(P::load(ds.column(j) + i), t, c, dv);
          dk_sum += through;
          (P::load(dq.column(c) + i) + through).store(dq.column(c) + i);
        }
        dk(j, c) += sum(dk_sum);
      }
      g.v(c) += sum(dv);
    }
  }

  template <class G>
  void project_query_backward(ConstTileMap<A> q, ConstTileMap<A> d, TileMap<A> dq, G& g) const {
    product_transposed<A>(dq, d, Wq);
    add_weight_gradient<A>(g.Wq, q, d);
    if (b) g.b += d.colwise().sum().transpose();
  }
  template <class G>
  void project_key_backward(ConstTileMap<A> k, ConstTileMap<A> d, TileMap<A> dk, G& g) const {
    product_transposed<A>(dk, d, Wk);
    add_weight_gradient<A>(g.Wk, k, d);
  }

 private:
  static bool lanes_are_keys(Index queries) { return 2 * queries <= P::width; }
  static const A* keys(const Operand<A>& k, Index j, Index c) { return k.data + c * k.stride + j; }

  /// What a score's gradient d sends back through its tanh t, and to v_c. Nothing where d is zero:
  /// the pair may be hidden and t NaN.
  P send_back(const P& d, const P& t, Index c, P& dv) const {
    const PackMask<A> hidden = d == P(0);
    dv += select(hidden, P(0), d * t);
    return select(hidden, P(0), d * (P(1) - t * t)) * P(v[c]);
  }

  void scores_along_keys(const PaddedTile<A>& s, Index rows, const PaddedTile<A>& q,
                         const Operand<A>& k) const {
    A lanes[P::width];
    for (Index i = 0; i < rows; ++i)
      for (Index j = 0; j < k.rows; j += P::width) {
        const Index count = std::min(P::width, k.rows - j);
        P sum(0);
        for (Index c = 0; c < a; ++c)
          sum += P(v[c]) * tanh(P::load_first(keys(k, j, c), count) + P(q.column(c)[i]));
        sum.store(lanes);
        for (Index l = 0; l < count; ++l) s.column(j + l)[i] = lanes[l];
      }
  }

  template <class G>
  void backward_along_keys(const PaddedTile<A>& ds, Index rows, const PaddedTile<A>& q,
                           const Operand<A>& k, const PaddedTile<A>& dq, TileMap<A> dk,
                           G& g) const {
    A lanes[P::width] = {};
    for (Index i = 0; i < rows; ++i)
      for (Index j = 0; j < k.rows; j += P::width) {
        const Index count = std::min(P::width, k.rows - j);
        std::fill_n(lanes, P::width, A(0));
        for (Index l = 0; l < count; ++l) lanes[l] = ds.column(j + l)[i];
        const P d = P::load(lanes);
        for (Index c = 0; c < a; ++c) {
          P dv(0);
          const P t = tanh(P::load_first(keys(k, j, c), count) + P(q.column(c)[i]));
          const P through = send_back(d, t, c, dv);
          g.v(c) += sum(dv);
          dq.column(c)[i] += sum(through);
          A* to = &dk(j, c);
          (P::load_first(to, count) + through).store_first(to, count);
        }
      }
  }
};

}  // namespace engine
ATTN_END_NAMESPACE
