// SPDX-License-Identifier: Apache-2.0
// Additive scores as the engine computes them: S_ij = sum_c v_c tanh(q'_ic + k'_jc) with
// q' = q Wq + b and k' = k Wk, each computed once.
//
// A tile of q queries and k keys takes q k a values of tanh and nothing of that size is stored.
// With E_q = e^(2q') and E_k = e^(2k'), of which there are only (q + k) a,
//
//     tanh(q' + k') = (E_q E_k - 1) / (E_q E_k + 1)
//
// so numerator and denominator cost a multiply-add each, and the fractions of a group of features
// are brought to one division (additive_products.hpp). Packs hold neighbouring queries as
// everywhere in the engine; where the queries are fewer than half a pack (attention pooling has
// one), they hold neighbouring keys instead.
#pragma once

#include <algorithm>

#include <attn/config.hpp>
#include <attn/engine/additive_products.hpp>
#include <attn/engine/kernel.hpp>
#include <attn/engine/packet_math.hpp>
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
    for (Index j = 0; j < k.rows; ++j) std::fill_n(s.column(j), padded<A>(rows), A(0));
    for (Index j = 0; j < k.rows; j += key_block)
      for (Index c = 0; c < a; c += feature_group) {
        const KeyProducts<A, feature_group> keys(k, j, std::min(key_block, k.rows - j), c,
                                                 std::min(feature_group, a - c), v + c);
        for (Index i = 0; i < rows; i += P::width)
          keys.add_scores({q, i, c}, s.column(j) + i, s.stride);
      }
  }

  /// Adds to dq and dk what dS sends back, and to the gradient of v. Padding of ds is zero.
  template <class G>
  void scores_backward(const PaddedTile<A>& ds, Index rows, const PaddedTile<A>& q,
                       const Operand<A>& k, const PaddedTile<A>& dq, TileMap<A> dk, G& g) const {
    if (lanes_are_keys(rows)) return backward_along_keys(ds, rows, q, k, dq, dk, g);
    for (Index j = 0; j < k.rows; j += key_block)
      for (Index c = 0; c < a; c += gradient_group)
        add_gradients(ds, rows, q, k, j, std::min(key_block, k.rows - j), c, dq, dk, g);
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
  static constexpr Index gradient_group = 2;

  static bool lanes_are_keys(Index queries) { return 2 * queries <= P::width; }
  static const A* keys(const Operand<A>& k, Index j, Index c) { return k.data + c * k.stride + j; }

  /// What a score's gradient d sends back through its tanh t, and to v_c. Nothing where d is zero:
  /// the pair may be hidden and t NaN.
  P send_back(const P& d, const P& t, Index c, P& dv) const {
    const PackMask<A> hidden = d == P(0);
    dv += select(hidden, P(0), d * t);
    return select(hidden, P(0), d * (P(1) - t * t)) * P(v[c]);
  }

  /// Keys j .. j+count-1, features from c on.
  template <class G>
  void add_gradients(const PaddedTile<A>& ds, Index rows, const PaddedTile<A>& q,
                     const Operand<A>& k, Index j, Index count, Index c, const PaddedTile<A>& dq,
                     TileMap<A>& dk, G& g) const {
    static constexpr A ones[gradient_group] = {A(1), A(1)};
    const Index features = std::min(gradient_group, a - c);
    const KeyProducts<A, gradient_group> keys(k, j, count, c, features, ones);
    ProductGradients<A, gradient_group> gradients(count);
    for (Index i = 0; i < rows; i += P::width) {
      P sums[gradient_group];
      keys.add_gradients({q, i, c}, ds.column(j) + i, ds.stride, gradients, sums);
      for (Index f = 0; f < features; ++f) {
        A* to = dq.column(c + f) + i;
        multiply_add(P(4 * v[c + f]), sums[f], P::load(to)).store(to);
      }
    }
    for (Index f = 0; f < features; ++f) {
      g.v(c + f) += sum(gradients.v[f]);
      for (Index l = 0; l < count; ++l)
        dk(j + l, c + f) += 4 * v[c + f] * sum(gradients.keys[f][l]);
    }
  }

  void scores_along_keys(const PaddedTile<A>& s, Index rows, const PaddedTile<A>& q,
                         const Operand<A>& k) const {
    A lanes[P::width];
    for (Index i = 0; i < rows; ++i)
      for (Index j = 0; j < k.rows; j += P::width) {
        const Index count = std::min(P::width, k.rows - j);
        P sum(0);
        for (Index c = 0; c < a; c += 4)
          sum += sum_of_tanh<4>(a - c, v + c, [&](Index g) {
            return P::load_first(keys(k, j, c + g), count) + P(q.column(c + g)[i]);
          });
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
