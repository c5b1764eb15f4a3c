// SPDX-License-Identifier: Apache-2.0
// Attention of a query or two and as many keys, where any other path is all preparation: plain
// loops, along packs of features where these lie side by side.
//
//     s_j = factor q.k_j    m = max s    e_j = exp(s_j - m)    o = sum_j e_j v_j / sum_j e_j
//
// Only for softmax without modifiers and masks; no scratch memory, no task.
#pragma once

#include <algorithm>
#include <limits>
#include <type_traits>

#include <attn/config.hpp>
#include <attn/engine/convert.hpp>
#include <attn/engine/packet_math.hpp>
#include <attn/engine/panel.hpp>
#include <attn/engine/program.hpp>
#include <attn/engine/tile_walk.hpp>
#include <attn/tensor_view.hpp>

ATTN_BEGIN_NAMESPACE
namespace engine {

/// Scores and queries of a head up to which plain loops win, and the multiply-adds where features
/// do not lie side by side.
inline constexpr Index tiny_scores = 4, tiny_products = 32;

/// Whether packs of features can be read in place.
template <class T>
bool lies_by_rows(const Inputs<T>& in) {
  return in.q.strides[3] == 1 && in.k.strides[3] == 1 && in.v.strides[3] == 1;
}

template <class T>
bool is_tiny(const Inputs<T>& in) {
  const Index scores = in.n_q() * in.n_k();
  if (std::max(in.n_q(), scores) > tiny_scores) return false;
  return lies_by_rows(in) || scores * (in.q.features() + in.v.features()) <= tiny_products;
}

/// Attention of one head. All exponentials are taken together: a row would not fill a pack.
template <class A>
struct TinyHead {
  static constexpr Index width = Pack<A>::width;
  Slice<const A> q;
  Slice<const A> k;
  Slice<const A> v;
  bool by_rows;  ///< features lie side by side in all three
  A s[tiny_scores + width];
  A m[tiny_scores];

  A dot(Index i, Index j) const {
    const A *x = q.data + i * q.token_stride, *y = k.data + j * k.token_stride;
    const Index d = q.features;
    if (by_rows) {
      Pack<A> sums(0);
      for (Index f = 0; f < d; f += width)
        sums = multiply_add(load_first_as<A>(x + f, d - f), load_first_as<A>(y + f, d - f), sums);
      return engine::sum(sums);
    }
    A total(0);
    for (Index f = 0; f < d; ++f) total += x[f * q.feature_stride] * y[f * k.feature_stride];
    return total;
  }
  void score(A factor) {
    for (Index i = 0; i < q.tokens; ++i) {
      A* row = s + i * k.tokens;
      A most = std::numeric_limits<A>::lowest();
      for (Index j = 0; j < k.tokens; ++j) {
        row[j] = factor * dot(i, j);
        most = std::max(most, row[j]);
      }
      for (Index j = 0; j < k.tokens; ++j) row[j] -= most;
      m[i] = most;
    }
  }
  void exponentiate() {
    const Index count = q.tokens * k.tokens;
    for (Index n = 0; n < count; n += Pack<A>::width)
      exp_of_difference<true>(Pack<A>::load(s + n), Pack<A>(0)).store(s + n);
  }
  A sum(Index i) const {
    A total(0);
    for (Index j = 0; j < k.tokens; ++j) total += s[i * k.tokens + j];
    return total;
  }
  /// p_j = scale e_j; zero for a score of -inf, whatever the scale.
  void write_weights(Index i, A scale, const Slice<A>& to) const {
    const A* e = s + i * k.tokens;
    for (Index j = 0; j < k.tokens; ++j)
      to.data[i * to.token_stride + j * to.feature_stride] = e[j] == A(0) ? A(0) : scale * e[j];
  }
  /// o = scale sum_j e_j v_j. A score of -inf: what V holds does not matter.
  void mix(Index i, A scale, const Slice<A>& to) const {
    const A* e = s + i * k.tokens;
    A* o = to.data + i * to.token_stride;
    if (by_rows && to.feature_stride == 1) {
      for (Index f = 0; f < v.features; f += width) {
        Pack<A> sums(0);
        for (Index j = 0; j < k.tokens; ++j)
          if (e[j] != A(0))
            sums = multiply_add(load_first_as<A>(v.data + j * v.token_stride + f, v.features - f),
                                Pack<A>(e[j]), sums);
        store_first_as<A>(sums * Pack<A>(scale), o + f, v.features - f);
      }
      return;
    }
    for (Index f = 0; f < v.features; ++f) {
      A total(0);
      for (Index j = 0; j < k.tokens; ++j)
        if (e[j] != A(0)) total += e[j] * v.data[j * v.token_stride + f * v.feature_stride];
      o[f * to.feature_stride] = scale * total;
    }
  }
};

template <class A, class Normalizer, class O>
ATTN_NOINLINE void run_tiny(const Inputs<A>& in, A factor, const Normalizer& normalizer,
                            const O& out) {
  const bool by_rows = lies_by_rows(in);
  for (Index b = 0; b < in.q.batches(); ++b)
    for (Index h = 0; h < in.q.heads(); ++h) {
      const Index c = in.key_head(h);
      TinyHead<A> head{{in.q, b, h}, {in.k, b, c}, {in.v, b, c}, by_rows, {}, {}};
      head.score(factor);
      head.exponentiate();
      for (Index i = 0; i < in.n_q(); ++i) {
        const A sum = head.sum(i), m = head.m[i];
        if (out.log_sum_exp.data) out.log_sum_exp(b, h, i, 0) = log_sum_exp_of(m, sum);
        const A scale = factor_of(normalizer, m, sum, h);
        if (out.output.data) head.mix(i, scale, {out.output, b, h});
        if constexpr (has_weights<O>) head.write_weights(i, scale, {out.weights, b, h});
      }
    }
}

}  // namespace engine
ATTN_END_NAMESPACE
