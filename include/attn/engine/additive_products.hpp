// SPDX-License-Identifier: Apache-2.0
// tanh(q + k) of many queries and keys by products of exponentials: the loops of additive scores.
//
//     tanh(q + k) = N / D    D = E_q E_k + 1    E = e^(2x)    M = e^(2x) - 1
//     N = E_q E_k - 1        or, where k is small, so that no digits are lost near 0,
//     N = E_q M_k + M_q
//
// A pack of queries against one key takes two multiply-adds a feature. The fractions of a group of
// features are added by n/d + n'/d' = (n d' + n' d) / (d d'): a group of eight takes 37 operations
// and one division, where tanh alone would take 104 and eight. Products of D must not overflow: a
// group whose numbers are too large is halved, and what is still too large goes through tanh.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>

#include <attn/config.hpp>
#include <attn/engine/packet.hpp>
#include <attn/engine/packet_math.hpp>
#include <attn/engine/panel.hpp>

ATTN_BEGIN_NAMESPACE
namespace engine {

/// Features of a group: each keeps E_q and the addend of N in registers.
inline constexpr Index feature_group = EIGEN_ARCH_DEFAULT_NUMBER_OF_REGISTERS >= 32 ? 8 : 4;

/// Keys whose exponentials are kept at a time: 4 KiB for eight features in float.
inline constexpr Index key_block = 64;

/// n[0]/d[0] + ... + n[count-1]/d[count-1] with one division; count is a power of two.
template <Index count, class A>
ATTN_INLINE Pack<A> sum_of_fractions(Pack<A>* n, Pack<A>* d) {
  if constexpr (count == 1) {
    return n[0] / d[0];
  } else {
    constexpr Index half = count / 2;
    ATTN_UNROLL
    for (Index g = 0; g < half; ++g) {
      n[g] = multiply_add(n[g], d[g + half], n[g + half] * d[g]);
      d[g] *= d[g + half];
    }
    return sum_of_fractions<half>(n, d);
  }
}

/// v_0 tanh(x(0)) + v_1 tanh(x(1)) + ... of at most `group` features, for any x.
template <Index group, class A, class X>
ATTN_INLINE Pack<A> sum_of_tanh(Index features, const A* v, const X& x) {
  Pack<A> n[group], d[group];
  ATTN_UNROLL
  for (Index g = 0; g < group; ++g) {
    n[g] = Pack<A>(0);
    d[g] = Pack<A>(1);
    if (g < features) {
      tanh_fraction(x(g), n[g], d[g]);
      n[g] *= Pack<A>(v[g]);
    }
  }
  return sum_of_fractions<group>(n, d);
}

/// One pack of projected queries, and the features that a group starts with.
template <class A>
struct QueryPack {
  const PaddedTile<A>& q;
  Index row;
  Index feature;

  Pack<A> operator()(Index g) const { return Pack<A>::load(q.column(feature + g) + row); }
};

/// What a block of keys gets back from dS for a group of features: sums over queries of
/// dS (1 - tanh^2) / 4, lane by lane, and over queries and keys of dS tanh.
template <class A, Index group>
struct ProductGradients {
  Pack<A> keys[group][key_block];
  Pack<A> v[group];

  explicit ProductGradients(Index key_count) {
    for (Index g = 0; g < group; ++g) {
      std::fill_n(keys[g], key_count, Pack<A>(0));
      v[g] = Pack<A>(0);
    }
  }
};

/// A block of projected keys, made ready for a group of features.
template <class A, Index group_size>
class KeyProducts {
 public:
  using P = Pack<A>;

  /// Of keys first .. first+count-1 (at most key_block) the features feature .. feature+features-1
  /// (at most group_size), weighted by v.
  KeyProducts(const Operand<A>& k, Index first, Index count, Index feature, Index features,
              const A* v)
      : k_(k.data + feature * k.stride + first),
        stride_(k.stride),
        count_(count),
        features_(features),
        v_(v) {
    for (Index g = 0; g < features; ++g) prepare(g);
    for (Index g = features; g < group_size; ++g) leave_out(g);
  }

  /// Adds the group's part of the scores of a pack of queries; s: of the first key.
  void add_scores(const QueryPack<A>& q, A* s, Index stride) const {
    add<group_size>(q, 0, s, stride);
  }

  /// Adds to `gradients`; returns in dq the sums over the keys of dS (1 - tanh^2) / 4. Here v is 1.
  void add_gradients(const QueryPack<A>& q, const A* ds, Index stride,
                     ProductGradients<A, group_size>& gradients, P (&dq)[group_size]) const {
    if (fits<group_size>(q, 0)) return differentiate_products(q, ds, stride, gradients, dq);
    for (Index g = 0; g < group_size; ++g) {
      dq[g] = P(0);
      if (g < features_) differentiate_tanh(q, g, ds, stride, gradients, dq[g]);
    }
  }

 private:
  static constexpr bool is_single = sizeof(A) == 4;
  // The sum of a group's 2(q + k) must leave room for v and for as many factors of two as there are
  // features; e^(2q) and e^(2k) alone must be normal numbers.
  static constexpr A largest_sum = is_single ? A(72) : A(690);
  static constexpr A largest_number = is_single ? A(40) : A(340);
  static constexpr A largest_v = A(512);
  // Above, E_q E_k - 1 is as exact as the sum q + k, which is rounded too.
  static constexpr A small = A(0.25);

  const A* key(Index g) const { return k_ + g * stride_; }
  bool is_small(Index g) const { return bound_[g] <= small; }

  void prepare(Index g) {
    P most(0), not_finite(0);
    for (Index j = 0; j < count_; j += P::width) {
      const P x = P::load_first(key(g) + j, count_ - j);
      most = larger(abs(x), most);
      not_finite += x - x;
    }
    A lanes[P::width];
    (most + not_finite).store(lanes);
    const bool fits = std::abs(v_[g]) <= largest_v &&
                      std::all_of(lanes, lanes + P::width, [](A x) { return x <= largest_number; });
    bound_[g] =
        fits ? *std::max_element(lanes, lanes + P::width) : std::numeric_limits<A>::infinity();
    for (Index j = 0; fits && j < count_; j += P::width) {
      P e, m;
      exp_of_twice(P::load_first(key(g) + j, count_ - j), e, m);
      e.store(e_[g] + j);
      (P(v_[g]) * (is_small(g) ? m : e)).store(n_[g] + j);
    }
  }

  /// A feature that is not there counts as 0 / 1.
  void leave_out(Index g) {
    bound_[g] = A(0);
    std::fill_n(e_[g], key_block, A(0));
    std::fill_n(n_[g], key_block, A(0));
  }

  /// Whether the denominators of a group can be multiplied, for every query of the pack.
  template <Index group>
  bool fits(const QueryPack<A>& q, Index first) const {
    P sum(0), most(0);
    for (Index g = first; g < std::min(first + group, features_); ++g) {
      most = larger(abs(q(g)), most);
      sum += larger(q(g) + P(bound_[g]), P(0));  // NaN stays
    }
    return !any(!((most <= P(largest_number)) & (sum <= P(largest_sum / 2))));
  }

  template <Index group>
  void add(const QueryPack<A>& q, Index first, A* s, Index stride) const {
    if (first >= features_) return;
    if (fits<group>(q, first)) return add_products<group>(q, first, s, stride);
    if constexpr (group > 2) {
      add<group / 2>(q, first, s, stride);
      add<group / 2>(q, first + group / 2, s, stride);
    } else {
      for (Index j = 0; j < count_; ++j, s += stride)
        (P::load(s) + sum_of_tanh<group>(features_ - first, v_ + first, [&](Index g) {
           return q(first + g) + P::broadcast(key(first + g) + j);
         })).store(s);
    }
  }

  /// E_q, and what is added to v N; features that are not there have neither.
  void load_query(const QueryPack<A>& q, Index g, P& e, P& addend) const {
    e = addend = P(0);
    if (g >= features_) return;
    P m;
    exp_of_twice(q(g), e, m);
    addend = P(v_[g]) * (is_small(g) ? m : P(-1));
  }

  template <Index group>
  ATTN_NOINLINE void add_products(const QueryPack<A>& q, Index first, A* s, Index stride) const {
    P e[group], addend[group];
    ATTN_UNROLL
    for (Index g = 0; g < group; ++g) load_query(q, first + g, e[g], addend[g]);
    for (Index j = 0; j < count_; ++j, s += stride) {
      P n[group], d[group];
      ATTN_UNROLL
      for (Index g = 0; g < group; ++g) {
        d[g] = multiply_add(e[g], P::broadcast(e_[first + g] + j), P(1));
        n[g] = multiply_add(e[g], P::broadcast(n_[first + g] + j), addend[g]);
      }
      (P::load(s) + sum_of_fractions<group>(n, d)).store(s);
    }
  }

  /// 1 - tanh^2 = 4 E / D^2; the two denominators take one division.
  ATTN_NOINLINE void differentiate_products(const QueryPack<A>& q, const A* ds, Index stride,
                                            ProductGradients<A, group_size>& gradients,
                                            P (&dq)[group_size]) const {
    static_assert(group_size == 2);
    P e[2], addend[2], dq_sum[2], dv[2];
    for (Index g = 0; g < 2; ++g) {
      load_query(q, g, e[g], addend[g]);
      dq_sum[g] = P(0);
      dv[g] = gradients.v[g];
    }
    for (Index j = 0; j < count_; ++j, ds += stride) {
      P ek[2], d[2];
      ATTN_UNROLL
      for (Index g = 0; g < 2; ++g) {
        ek[g] = e[g] * P::broadcast(e_[g] + j);
        d[g] = ek[g] + P(1);
      }
      const P inverse = P(1) / (d[0] * d[1]);
      ATTN_UNROLL
      for (Index g = 0; g < 2; ++g) {
        const P r = inverse * d[1 - g];
        const P w = P::load(ds) * r;
        const P n = multiply_add(e[g], P::broadcast(n_[g] + j), addend[g]);
        const P through = w * (ek[g] * r);
        dv[g] = multiply_add(w, n, dv[g]);
        dq_sum[g] += through;
        gradients.keys[g][j] += through;
      }
    }
    for (Index g = 0; g < 2; ++g) {
      dq[g] = dq_sum[g];
      gradients.v[g] = dv[g];
    }
  }

  /// For any numbers. Nothing goes back where dS is zero: the pair may be hidden and tanh NaN.
  void differentiate_tanh(const QueryPack<A>& q, Index g, const A* ds, Index stride,
                          ProductGradients<A, group_size>& gradients, P& dq) const {
    for (Index j = 0; j < count_; ++j, ds += stride) {
      const P d = P::load(ds);
      const PackMask<A> hidden = d == P(0);
      const P t = tanh(q(g) + P::broadcast(key(g) + j));
      const P through = select(hidden, P(0), P(0.25) * d * (P(1) - t * t));
      gradients.v[g] += select(hidden, P(0), d * t);
      gradients.keys[g][j] += through;
      dq += through;
    }
  }

  const A* k_;
  Index stride_;
  Index count_;
  Index features_;
  const A* v_;
  A bound_[group_size];         ///< the largest |k| of a feature; infinite where it does not fit
  A e_[group_size][key_block];  ///< E_k
  A n_[group_size][key_block];  ///< what E_q is multiplied by in v N
};

}  // namespace engine
ATTN_END_NAMESPACE
