// SPDX-License-Identifier: Apache-2.0
// Linear attention chunk by chunk: the recurrence over many tokens as a few matrix products.
//
// With E_t the product of the decay factors from the second token of a chunk to token t, the state
// is S_t = diag(E_t) (S + sum_{j<=t} k-_j w_j^T), where S is the state as the first token finds it
// after its decay. With k+ = E k, q+ = E q (what reads), k- = k / E (what writes) and B = diag(beta)
//
//     (I + B tril(K+ K-^T, -1)) W = B (V - K+ S)        delta rules; W = V for the others
//     O = Q+ S + tril(Q+ K-^T) W
//     S <- diag(E_last) (S + K-^T W)
//
// Decay of one number a head is the same with equal channels. E and 1/E stay within 2^58 (float)
// of 1: where the decay is stronger, a chunk ends early, and one of a few tokens is done by the
// recurrence. So nothing overflows, and what is tiny is what the recurrence finds tiny.
// A chunk whose result is not finite is done again by the recurrence, which alone says where NaN
// and inf go. Flops a token, C the tokens of a chunk: 4 d_k d_v + 2 C (d_k + d_v), and with a delta
// rule 2 d_k d_v + C (2 d_k + d_v) more; C = 64 balances the two for d of 64 to 128.
// Source: Katharopoulos et al. 2020, section 3.2; Yang et al. 2024 (gated linear attention),
// section 4; Yang et al. 2024 (delta rule), eq. 6 to 11; Yang et al. 2025 (gated delta), section 3.
// Next: linear_call.hpp.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <type_traits>

#include <attn/config.hpp>
#include <attn/engine/recurrence.hpp>
#include <attn/workspace.hpp>

ATTN_BEGIN_NAMESPACE
namespace engine {

template <class A>
using RowMajorMatrix = Eigen::Matrix<A, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
template <class A>
using RowsMap = Eigen::Map<RowMajorMatrix<A>, Eigen::Unaligned, Eigen::OuterStride<>>;
template <class A>
using ConstRowsMap = Eigen::Map<const RowMajorMatrix<A>, Eigen::Unaligned, Eigen::OuterStride<>>;

template <class A>
RowsMap<A> rows_map(A* data, Index rows, Index cols) {
  return {data, rows, cols, Eigen::OuterStride<>(cols)};
}
template <class A>
ConstRowsMap<A> rows_map(const A* data, Index rows, Index cols) {
  return {data, rows, cols, Eigen::OuterStride<>(cols)};
}
template <class A>
RowsMap<A> state_map(const StateRows<A>& state, Index d_k, Index d_v) {
  return {state.data, d_k, d_v, Eigen::OuterStride<>(state.stride)};
}

/// Fewer tokens than this go by the recurrence: products of a few rows are slower.
inline constexpr Index shortest_chunk = 8;

/// How far E may go from 1: products of E and 1/E then stay far from the ends of the range, and so
/// do those of numbers up to 2^10 with them.
template <class A>
inline constexpr A largest_growth = std::is_same_v<A, float> ? A(0x1p58f) : A(0x1p400);

/// Whether every number is finite: x - x is 0, and else NaN.
template <class M>
bool is_finite(const M& m) {
  return (m.array() - m.array()).sum() == typename M::Scalar(0);
}

/// exp in place. Eigen's vector function clamps its argument, so a run of numbers that it would
/// clamp (or that holds NaN) goes to std::exp.
template <class A>
void exponentiate(A* numbers, Index count) {
  using Numbers = Eigen::Map<Eigen::Array<A, Eigen::Dynamic, 1>>;
  const A largest = -std::log(std::numeric_limits<A>::min()) - A(0.5);
  constexpr Index run = 64;
  for (Index first = 0; first < count; first += run) {
    Numbers x(numbers + first, std::min(run, count - first));
    if ((x.abs() <= largest).all())
      x = x.exp();
    else
      for (A& number : x) number = std::exp(number);
  }
}

/// Scratch for chunks of `tokens` tokens.
template <class A>
struct ChunkScratch {
  A* q;       ///< Q+, as TokenBlock::q
  A* k_plus;  ///< K+
  A* k_minus;
  A* growth;  ///< E of the last token
  A* w;       ///< [token][d_v]
  A* scores;  ///< Q+ K-^T, [token][query head][token]
  A* system;  ///< of the delta rules: B tril(K+ K-^T, -1)
  A* next;    ///< the state to come

  ChunkScratch(Arena& arena, Index tokens, Index group, Index d_k, Index d_v, bool decays,
               bool is_delta)
      : q(arena.take<A>(decays ? tokens * group * d_k : 0)),
        k_plus(arena.take<A>(decays && is_delta ? tokens * d_k : 0)),
        k_minus(arena.take<A>(decays ? tokens * d_k : 0)),
        growth(arena.take<A>(d_k)),
        w(arena.take<A>(is_delta ? tokens * d_v : 0)),
        scores(arena.take<A>(tokens * group * tokens)),
        system(arena.take<A>(is_delta ? tokens * tokens : 0)),
        next(arena.take<A>(d_k * d_v)) {}
};

/// How many tokens from the first on make a chunk: as long as E stays within its bounds.
template <class A>
Index chunk_length(const TokenBlock<A>& x, A* growth) {
  if (!x.factor) return x.count;
  using Row = Eigen::Map<Eigen::Array<A, Eigen::Dynamic, 1>>;
  using ConstRow = Eigen::Map<const Eigen::Array<A, Eigen::Dynamic, 1>>;
  Row e(growth, x.d_k);
  e.setOnes();
  for (Index t = 1; t < x.count; ++t) {
    e *= ConstRow(x.factor + t * x.d_k, x.d_k);
    const bool within =
        (e >= A(1) / largest_growth<A> && e <= largest_growth<A>).all();  // false for NaN
    if (!within) return t;
  }
  return x.count;
}

/// Q+, K+ and K-, and E of the last token. Without decay they are Q and K themselves.
template <class A>
struct ScaledTokens {
  const A* q;
  const A* k_plus;
  const A* k_minus;
};
template <class A>
ScaledTokens<A> scale_tokens(const TokenBlock<A>& x, const ChunkScratch<A>& scratch) {
  const Index n = x.count, d_k = x.d_k, heads = n * x.group;
  if (!x.factor) return {x.q, x.k, x.k};
  using Row = Eigen::Map<Eigen::Array<A, 1, Eigen::Dynamic>>;
  Row e(scratch.growth, d_k);
  const auto q = rows_map(x.q, heads, d_k).array(), k = rows_map(x.k, n, d_k).array();
  const auto factor = rows_map(x.factor, n, d_k).array();
  RowsMap<A> q_plus = rows_map(scratch.q, heads, d_k), k_plus = rows_map(scratch.k_plus, n, d_k);
  RowsMap<A> k_minus = rows_map(scratch.k_minus, n, d_k);
  e.setOnes();
  for (Index t = 0; t < n; ++t) {
    if (t > 0) e *= factor.row(t);
    for (Index h = t * x.group; h < (t + 1) * x.group; ++h) q_plus.row(h).array() = q.row(h) * e;
    if (x.beta) k_plus.row(t).array() = k.row(t) * e;
    k_minus.row(t).array() = k.row(t) / e;
  }
  return {scratch.q, scratch.k_plus, scratch.k_minus};
}

/// W of a delta rule: what each token writes, given that it first takes away what it reads.
template <class A>
void solve_writes(const TokenBlock<A>& x, const ScaledTokens<A>& tokens, RowsMap<A> state,
                  const ChunkScratch<A>& scratch) {
  RowsMap<A> w = rows_map(scratch.w, x.count, x.d_v);
  RowsMap<A> system = rows_map(scratch.system, x.count, x.count);
  const ConstRowsMap<A> k_plus = rows_map(tokens.k_plus, x.count, x.d_k);
  w = rows_map(x.v, x.count, x.d_v);
  w.noalias() -= k_plus * state;
  system.noalias() = k_plus * rows_map(tokens.k_minus, x.count, x.d_k).transpose();
  for (Index t = 0; t < x.count; ++t) {
    w.row(t) *= x.beta[t];
    system.row(t).head(t) *= x.beta[t];
  }
  system.template triangularView<Eigen::UnitLower>().solveInPlace(w);
}

/// A chunk by products. False, with the state as it was, where the result is not finite.
template <class A>
bool run_chunk(const TokenBlock<A>& x, const StateRows<A>& state_rows,
               const ChunkScratch<A>& scratch) {
  const Index n = x.count, d_k = x.d_k, d_v = x.d_v, heads = n * x.group;
  RowsMap<A> state = state_map(state_rows, d_k, d_v), next = rows_map(scratch.next, d_k, d_v);
  using ConstColumn = Eigen::Map<const VectorX<A>>;
  if (x.factor)
    next.noalias() = ConstColumn(x.factor, d_k).asDiagonal() * state;
  else
    next = state;
  const ScaledTokens<A> tokens = scale_tokens(x, scratch);
  if (x.beta) solve_writes(x, tokens, next, scratch);
  const ConstRowsMap<A> q = rows_map(tokens.q, heads, d_k), k = rows_map(tokens.k_minus, n, d_k);
  const ConstRowsMap<A> w = rows_map<A>(x.beta ? scratch.w : x.v, n, d_v);
  RowsMap<A> out = rows_map(x.out, heads, d_v), scores = rows_map(scratch.scores, heads, n);
  out.noalias() = q * next;
  scores.noalias() = q * k.transpose();
  for (Index r = 0; r < heads; ++r) scores.row(r).tail(n - 1 - r / x.group).setZero();
  out.noalias() += scores * w;
  next.noalias() += k.transpose() * w;
  if (x.factor) next = ConstColumn(scratch.growth, d_k).asDiagonal() * next;
  if (!is_finite(out) || !is_finite(next)) return false;
  state = next;
  return true;
}

/// All tokens of a block, in as few chunks as their decay allows.
template <class A>
void run_chunks(const TokenBlock<A>& block, const StateRows<A>& state,
                const ChunkScratch<A>& scratch) {
  for (Index first = 0; first < block.count;) {
    const TokenBlock<A> rest = block.part(first, block.count - first);
    const Index length = chunk_length(rest, scratch.growth);
    const TokenBlock<A> chunk = rest.part(0, length);
    const bool by_products = length >= shortest_chunk &&
                             is_finite(state_map(state, block.d_k, block.d_v)) &&
                             run_chunk(chunk, state, scratch);
    if (!by_products) run_recurrence(chunk, state);
    first += length;
  }
}

}  // namespace engine
ATTN_END_NAMESPACE
