// SPDX-License-Identifier: Apache-2.0
// Linear attention chunk by chunk: the recurrence over many tokens as a few matrix products.
//
// With E_t the product of the decay factors from the second token of a chunk to token t, the state
// is S_t = diag(E_t) (S + sum_{j<=t} k-_j w_j^T), where S is the state as the first token finds it
// after its decay. With k+ = E k and q+ = E q, which read, k- = k / E, which writes, and
// B = diag(beta)
//
//     (I + B tril(K+ K-^T, -1)) W = B (V - K+ S)        delta rules; W = V for the others
//     O = Q+ S + tril(Q+ K-^T) W
//     S <- diag(E_last) (S + K-^T W)
//
// Decay of one number a head is the same with equal channels. E and 1/E stay within 2^58 (float)
// of 1: where the decay is stronger, a chunk ends early, and one of a few tokens is done by the
// recurrence. So nothing overflows, and what is tiny is what the recurrence finds tiny.
// A chunk whose result is not finite is done again by the recurrence, which alone says where NaN
// and inf go. Flops a token, C the tokens of a chunk: 4 d_k d_v + C (d_k + d_v), and with a delta
// rule 2 d_k d_v + C (d_k + d_v) more. C = 64 keeps what grows with C below the rest.
// Source: Katharopoulos et al. 2020, section 3.2; Yang et al. 2024 (gated linear attention),
// section 4; Yang et al. 2024 (delta rule), eq. 6 to 11; Yang et al. 2025 (gated delta), section 3.
// Next: linear_call.hpp.
#pragma once

#include <algorithm>
#include <type_traits>

#include <attn/config.hpp>
#include <attn/engine/convert.hpp>
#include <attn/engine/packet.hpp>
#include <attn/engine/packet_math.hpp>
#include <attn/engine/packing.hpp>
#include <attn/engine/panel.hpp>
#include <attn/engine/recurrence.hpp>
#include <attn/engine/row_product.hpp>
#include <attn/workspace.hpp>

ATTN_BEGIN_NAMESPACE
namespace engine {

/// Fewer tokens than this go by the recurrence: products of a few rows are slower.
inline constexpr Index shortest_chunk = 16;

/// How far E may go from 1: products of E and 1/E then stay far from the ends of the range, and so
/// do those of numbers up to 2^10 with them.
template <class A>
inline constexpr A largest_growth = std::is_same_v<A, float> ? A(0x1p58) : A(0x1p400);

template <class A>
using RowMajorMatrix = Eigen::Matrix<A, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
template <class A>
using RowsMap = Eigen::Map<RowMajorMatrix<A>, Eigen::Unaligned, Eigen::OuterStride<>>;
template <class A>
using ConstRowsMap = Eigen::Map<const RowMajorMatrix<A>, Eigen::Unaligned, Eigen::OuterStride<>>;

template <class A>
RowsMap<A> map_rows(const Rows<A>& rows, Index count, Index columns) {
  return {rows.data, count, columns, Eigen::OuterStride<>(rows.stride)};
}
template <class A>
ConstRowsMap<A> map_rows(const Rows<const A>& rows, Index count, Index columns) {
  return {rows.data, count, columns, Eigen::OuterStride<>(rows.stride)};
}

/// Zeros behind the columns of rows of whole packs: what the lanes there compute is not used.
template <class A>
void clear_padding(const Rows<A>& rows, Index count, Index columns) {
  for (Index i = 0; i < count && columns < rows.stride; ++i)
    std::fill(rows.row(i) + columns, rows.row(i) + rows.stride, A(0));
}

/// exp in place; a factor below the smallest normal number counts as 0.
template <class A>
void exponentiate(A* numbers, Index count) {
  constexpr Index width = Pack<A>::width;
  for (Index i = 0; i < count; i += width)
    store_first_as(exp(load_first_as<A>(numbers + i, std::min(width, count - i))), numbers + i,
                   std::min(width, count - i));
}

/// Scratch for chunks of `tokens` tokens.
template <class A>
struct ChunkScratch {
  A* growth;       ///< E, [token][factors]
  A* q;            ///< Q+, as TokenBlock::q
  A* k_plus;       ///< [token][d_k]
  A* k_minus;      ///< [token][d_k]
  Rows<A> keys;    ///< K-^T, [d_k][token]
  Rows<A> w;       ///< [token][d_v]
  Rows<A> scores;  ///< Q+ K-^T, [token][query head][token]
  Rows<A> system;  ///< of the delta rules: -B tril(K+ K-^T, -1)
  Rows<A> next;    ///< the state to come

  ChunkScratch(Arena& arena, Index tokens, Index group, Index d_k, Index d_v, bool decays,
               bool is_delta)
      : growth(arena.take<A>(decays ? tokens * d_k : 0)),
        q(arena.take<A>(decays ? tokens * group * d_k : 0)),
        k_plus(arena.take<A>(decays && is_delta ? tokens * d_k : 0)),
        k_minus(arena.take<A>(decays ? tokens * d_k : 0)),
        keys(take(arena, tokens > 0 ? d_k : 0, tokens)),
        w(take(arena, is_delta ? tokens : 0, d_v)),
        scores(take(arena, tokens * group, tokens)),
        system(take(arena, is_delta ? tokens : 0, tokens)),
        next(take(arena, tokens > 0 ? d_k : 0, d_v)) {}

 private:
  /// Rows of whole packs in whole groups, as products write them.
  static Rows<A> take(Arena& arena, Index rows, Index columns) {
    return {arena.take<A>(grouped(rows) * padded<A>(columns)), padded<A>(columns)};
  }
};

/// E of the tokens from the first on, as far as it stays within its bounds; how many tokens that
/// are. A few tokens at a time, since under strong decay the first ones are the last.
template <class A>
Index find_growth(const TokenBlock<A>& x, A* growth) {
  if (!x.factor) return x.count;
  using Numbers = Eigen::Map<Eigen::Array<A, Eigen::Dynamic, 1>>;
  using ConstNumbers = Eigen::Map<const Eigen::Array<A, Eigen::Dynamic, 1>>;
  constexpr Index stretch = 16;
  const Index width = x.factors;
  if (width == 0) return x.count;
  const auto is_within = [&](Index first, Index count) {
    const Numbers e(growth + first * width, count * width);
    return e.minCoeff() >= A(1) / largest_growth<A> && e.maxCoeff() <= largest_growth<A>;
  };
  Numbers(growth, width).setOnes();
  for (Index first = 1; first < x.count; first += stretch) {
    const Index count = std::min(stretch, x.count - first);
    for (Index t = first; t < first + count; ++t)
      Numbers(growth + t * width, width) =
          Numbers(growth + (t - 1) * width, width) * ConstNumbers(x.factor + t * width, width);
    if (is_within(first, count)) continue;
    for (Index t = first; t < first + count; ++t)
      if (!is_within(t, 1)) return t;
  }
  return x.count;
}

/// to = from E or from / E, row by row, for rows that stand at the tokens of E.
template <bool divides, class A>
void scale_rows(const Rows<const A>& from, const A* growth, Index factors, Index tokens,
                Index columns, const Rows<A>& to) {
  const auto x = map_rows(from, tokens, columns);
  auto y = map_rows(to, tokens, columns);
  if (factors == 1) {
    for (Index t = 0; t < tokens; ++t)
      y.row(t) = (divides ? A(1) / growth[t] : growth[t]) * x.row(t);
  } else {
    const auto e = map_rows(Rows<const A>{growth, factors}, tokens, columns);
    if constexpr (divides)
      y.array() = x.array() / e.array();
    else
      y.array() = x.array() * e.array();
  }
}

/// Q+, K+ and K-. Without decay they are Q and K themselves.
template <class A>
struct ScaledTokens {
  const A* q;
  const A* k_plus;
  const A* k_minus;
};
template <class A>
ScaledTokens<A> scale_tokens(const TokenBlock<A>& x, const ChunkScratch<A>& scratch) {
  if (!x.factor) return {x.q, x.k, x.k};
  const Index n = x.count, d_k = x.d_k;
  for (Index h = 0; h < x.group; ++h)
    scale_rows<false, A>({x.q + h * d_k, x.group * d_k}, scratch.growth, x.factors, n, d_k,
                         {scratch.q + h * d_k, x.group * d_k});
  if (x.beta)
    scale_rows<false, A>({x.k, d_k}, scratch.growth, x.factors, n, d_k, {scratch.k_plus, d_k});
  scale_rows<true, A>({x.k, d_k}, scratch.growth, x.factors, n, d_k, {scratch.k_minus, d_k});
  return {scratch.q, scratch.k_plus, scratch.k_minus};
}

/// W of a delta rule: what each token writes, given that it first takes away what it reads.
template <class A>
void solve_writes(const TokenBlock<A>& x, const A* k_plus, const ChunkScratch<A>& scratch) {
  const Index n = x.count;
  const Operand<A> keys(k_plus, n, x.d_k, x.d_k, true);
  multiply_rows<false, A>(keys, {scratch.next.data, scratch.next.stride}, x.d_v, scratch.w);
  multiply_lower<A>(keys, {scratch.keys.data, scratch.keys.stride}, n, scratch.system, 1);
  const auto v = map_rows(Rows<const A>{x.v, x.v_stride}, n, x.v_stride);
  auto w = map_rows(scratch.w, n, x.v_stride);
  for (Index t = 0; t < n; ++t) {
    w.row(t) = x.beta[t] * (v.row(t) - w.row(t));
    Eigen::Map<VectorX<A>>(scratch.system.row(t), t) *= -x.beta[t];
  }
  solve_unit_lower<A>({scratch.system.data, scratch.system.stride}, n, x.d_v, scratch.w);
}

/// S <- diag(f) S, f of one number or of one a row.
template <class A>
void decay_rows(const Rows<A>& state, const A* factor, Index factors, Index d_k, Index columns) {
  auto rows = map_rows(state, d_k, columns);
  for (Index d = 0; d < d_k; ++d) rows.row(d) *= factor[factors == 1 ? 0 : d];
}

/// A chunk by products, whose E has been found. False, with the state as it was, where the result
/// is not finite.
template <class A>
bool run_chunk(const TokenBlock<A>& x, const Rows<A>& state, const ChunkScratch<A>& scratch) {
  const Index n = x.count, d_k = x.d_k, d_v = x.d_v;
  map_rows(scratch.next, d_k, d_v) = map_rows(state, d_k, d_v);
  clear_padding(scratch.next, d_k, d_v);
  if (x.factor) decay_rows(scratch.next, x.factor, x.factors, d_k, d_v);
  const ScaledTokens<A> tokens = scale_tokens(x, scratch);
  copy_transposed<A>({tokens.k_minus, d_k}, scratch.keys, n, d_k, A(1));
  clear_padding(scratch.keys, d_k, n);
  if (x.beta) solve_writes(x, tokens.k_plus, scratch);
  const Rows<const A> w =
      x.beta ? Rows<const A>{scratch.w.data, scratch.w.stride} : Rows<const A>{x.v, x.v_stride};
  const Operand<A> q(tokens.q, n * x.group, d_k, d_k, true);
  const Rows<A> out{x.out, x.v_stride};
  multiply_rows<false, A>(q, {scratch.next.data, scratch.next.stride}, d_v, out);
  multiply_lower<A>(q, {scratch.keys.data, scratch.keys.stride}, n, scratch.scores, x.group);
  multiply_rows<true, A>(
      Operand<A>(scratch.scores.data, n * x.group, n, scratch.scores.stride, true), w, d_v, out,
      {.is_whole = false, .group = x.group});
  multiply_rows<true, A>(Operand<A>(tokens.k_minus, d_k, n, d_k, false), w, d_v, scratch.next);
  if (x.factor) decay_rows(scratch.next, scratch.growth + (n - 1) * x.factors, x.factors, d_k, d_v);
  if (!all_finite<A>(out.data, n * x.group, d_v, out.stride) ||
      !all_finite<A>(scratch.next.data, d_k, d_v, scratch.next.stride))
    return false;
  map_rows(state, d_k, d_v) = map_rows(scratch.next, d_k, d_v);
  return true;
}

/// All tokens of a block, in as few chunks as their decay allows.
template <class A>
void run_chunks(const TokenBlock<A>& block, const Rows<A>& state, const ChunkScratch<A>& scratch) {
  for (Index first = 0; first < block.count;) {
    const TokenBlock<A> rest = block.part(first, block.count - first);
    const bool is_short = rest.count < shortest_chunk;
    const Index length = is_short ? rest.count : find_growth(rest, scratch.growth);
    const TokenBlock<A> chunk = rest.part(0, length);
    const bool by_products = length >= shortest_chunk &&
                             all_finite<A>(state.data, block.d_k, block.d_v, state.stride) &&
                             run_chunk(chunk, state, scratch);
    if (!by_products) run_recurrence(chunk, state);
    first += length;
  }
}

}  // namespace engine
ATTN_END_NAMESPACE
