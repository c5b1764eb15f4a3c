// SPDX-License-Identifier: Apache-2.0
// Attention of a few numbers, where any other path is all preparation: plain loops.
//
//     s_j = factor q.k_j    m = max s    e_j = exp(s_j - m)    o = sum_j e_j v_j / sum_j e_j
//
// Only for softmax without modifiers and masks; no scratch memory, no task.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <type_traits>

#include <attn/config.hpp>
#include <attn/engine/packet_math.hpp>
#include <attn/engine/panel.hpp>
#include <attn/engine/program.hpp>
#include <attn/engine/tile_walk.hpp>
#include <attn/tensor_view.hpp>

ATTN_BEGIN_NAMESPACE
namespace engine {

/// Whether these parts may take plain loops: softmax of scaled products, nothing between.
template <class T, class Program, class ScoreTile>
inline constexpr bool can_be_tiny =
    std::is_same_v<T, typename Program::Accumulator>&& ScoreTile::is_product &&
    !ScoreTile::projects_queries && !ScoreTile::projects_keys && Program::mod_count == 0 &&
    Program::prob_count == 0 && !Program::has_masks &&
    Program::NormalizerPart::statistic == RowStatistic::sum_of_exp;

/// Multiply-adds of a head up to which plain loops win, and the scores that these can have.
inline constexpr Index tiny_products = 150, tiny_scores = tiny_products / 2;

template <class T>
bool is_tiny(const Inputs<T>& in) {
  const Index scores = in.n_q() * in.n_k();
  return std::max(in.n_q(), scores) <= tiny_scores &&
         scores * (in.q.features() + in.v.features()) <= tiny_products;
}

/// Attention of one head. All exponentials are taken together: a row would not fill a pack.
template <class A>
struct TinyHead {
  Slice<const A> q;
  Slice<const A> k;
  Slice<const A> v;
  A s[tiny_scores + Pack<A>::width];
  A m[tiny_scores];

  void score(A factor) {
    for (Index i = 0; i < q.tokens; ++i) {
      A* row = s + i * k.tokens;
      A most = std::numeric_limits<A>::lowest();
      for (Index j = 0; j < k.tokens; ++j) {
        A sum(0);
        for (Index f = 0; f < q.features; ++f)
          sum += q.data[i * q.token_stride + f * q.feature_stride] *
                 k.data[j * k.token_stride + f * k.feature_stride];
        row[j] = factor * sum;
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
  A mixture(Index i, Index c) const {
    A total(0);
    for (Index j = 0; j < k.tokens; ++j)
      if (s[i * k.tokens + j] != A(0))  // a score of -inf: what V holds does not matter
        total += s[i * k.tokens + j] * v.data[j * v.token_stride + c * v.feature_stride];
    return total;
  }
};

template <class A, class Normalizer, class O>
ATTN_NOINLINE void run_tiny(const Inputs<A>& in, A factor, const Normalizer& normalizer,
                            const O& out) {
  for (Index b = 0; b < in.q.batches(); ++b)
    for (Index h = 0; h < in.q.heads(); ++h) {
      const Index c = in.k.heads() == 1 ? 0 : in.key_head(h);
      TinyHead<A> head{{in.q, b, h}, {in.k, b, c}, {in.v, b, c}, {}, {}};
      head.score(factor);
      head.exponentiate();
      for (Index i = 0; i < in.n_q(); ++i) {
        const A sum = head.sum(i), m = head.m[i];
        if (out.log_sum_exp.data)
          out.log_sum_exp(b, h, i, 0) = sum == A(0) ? minus_infinity<A> : m + std::log(sum);
        if (!out.output.data) continue;
        const A scale = sum == A(0) ? A(0) : A(1) / normalizer.denominator(sum, m, h);
        for (Index f = 0; f < in.v.features(); ++f)
          out.output(b, h, i, f) = scale * head.mixture(i, f);
      }
    }
}

}  // namespace engine
ATTN_END_NAMESPACE
