// SPDX-License-Identifier: Apache-2.0
// Products of a few dense rows with many rows of a storage type, each of which is read once.
//
//     add_dots      C_rj += sum_k A_rk B_jk     scores from rows of K, outputs from columns of V
//     add_mixtures  C_rk += sum_j P_rj B_jk     outputs from rows of V, scores from columns of K
//
// Lanes lie along the rows of B, four of which are worked on together, so that a number of B is
// loaded and converted once for up to `row_block` rows of A: 2 flops a number and row, where memory
// delivers a number every 1 to 2 cycles. Rows of A, P and C are scratch: they have whole packs (and
// whole groups of four), hold zeros behind their ends in A, and are overwritten there in C.
#pragma once

#include <algorithm>
#include <array>
#include <type_traits>

#include <attn/config.hpp>
#include <attn/engine/convert.hpp>
#include <attn/engine/packet.hpp>

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wignored-attributes"  // of packets as template arguments
#endif

ATTN_BEGIN_NAMESPACE
namespace engine {

/// Rows of A that are worked on together: 4 x 4 sums, 4 packs of B and one of A stay in 32
/// registers, half of that in 16.
#if defined(EIGEN_VECTORIZE_AVX512) || defined(__aarch64__)
inline constexpr Index row_block = 4;
#else
inline constexpr Index row_block = 2;
#endif

/// How many rows of scratch serve `rows`: the last block may be larger than what is left.
constexpr Index blocked_rows(Index rows) { return rows % 4 == 3 ? rows + 1 : rows; }

/// The numbers that a row of scratch takes: whole packs and whole groups of four.
template <class A>
constexpr Index row_stride(Index length) {
  return padded<A>((length + 3) / 4 * 4);
}

/// f(first row, block size as a constant) over all rows.
template <class F>
ATTN_INLINE void for_row_blocks(Index rows, F&& f) {
  Index r = 0;
  if constexpr (row_block == 4)
    for (; rows - r > 2; r += 4) f(r, std::integral_constant<Index, 4>());
  for (; rows - r > 1; r += 2) f(r, std::integral_constant<Index, 2>());
  if (r < rows) f(r, std::integral_constant<Index, 1>());
}

/// Rows of scratch.
template <class A>
struct ScratchRows {
  A* data = nullptr;
  Index stride = 0;

  A* row(Index r) const { return data + r * stride; }
  ScratchRows from(Index r, Index column) const { return {row(r) + column, stride}; }
};

/// `count` rows of `length` neighbouring numbers.
template <class S>
struct StoredRows {
  const S* data;
  Index count;
  Index length;
  Index stride;

  const S* row(Index j) const { return data + j * stride; }
};

/// How many rows to fetch ahead: 2 KiB of them bridge the gap until the processor foresees the
/// rest. More of them come too early.
template <class S>
Index fetch_distance(const StoredRows<S>& b) {
  constexpr Index bytes = 2 * 1024;
  return std::max<Index>(4, bytes / (static_cast<Index>(sizeof(S)) * b.length + 1));
}

/// Asks for the four rows that come `distance` behind row j of `b`, or for those of `next` where
/// `b` ends: the processor's own prefetching stops at every page and every tile.
template <class S>
ATTN_INLINE void fetch_ahead(const StoredRows<S>& b, const StoredRows<S>& next, Index j,
                             Index distance) {
  constexpr Index line = 64 / static_cast<Index>(sizeof(S));
  for (Index t = j + distance; t < j + distance + 4; ++t) {
    const bool behind = t >= b.count;
    if (behind && t - b.count >= next.count) return;
    const S* row = behind ? next.row(t - b.count) : b.row(t);
    const Index length = behind ? next.length : b.length;
    for (Index k = 0; k < length; k += line) prefetch(row + k);
  }
}

/// to[t] += the sum of the lanes of x[t].
template <class A>
ATTN_INLINE void add_sums(const Pack<A> (&x)[4], A* to) {
#if defined(EIGEN_VECTORIZE_AVX512)
  if constexpr (std::is_same_v<A, float>) {
    const auto pairs = [](const Pack<A>& a, const Pack<A>& b) {
      return _mm512_add_ps(_mm512_maskz_unpacklo_ps(every_lane, a.raw, b.raw),
                           _mm512_maskz_unpackhi_ps(every_lane, a.raw, b.raw));
    };
    const __m512 ab = pairs(x[0], x[1]), cd = pairs(x[2], x[3]);
    const __m512 all = _mm512_add_ps(_mm512_maskz_shuffle_ps(every_lane, ab, cd, 0x44),
                                     _mm512_maskz_shuffle_ps(every_lane, ab, cd, 0xee));
    const __m256d upper = _mm512_maskz_extractf64x4_pd(0xf, _mm512_castps_pd(all), 1);
    const __m256 half = _mm256_add_ps(_mm512_castps512_ps256(all), _mm256_castpd_ps(upper));
    const __m128 four = _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
    _mm_storeu_ps(to, _mm_add_ps(_mm_loadu_ps(to), four));
    return;
  }
#elif defined(EIGEN_VECTORIZE_AVX)
  if constexpr (std::is_same_v<A, float>) {
    const __m256 ab = _mm256_hadd_ps(x[0].raw, x[1].raw), cd = _mm256_hadd_ps(x[2].raw, x[3].raw);
    const __m256 all = _mm256_hadd_ps(ab, cd);
    const __m128 four = _mm_add_ps(_mm256_castps256_ps128(all), _mm256_extractf128_ps(all, 1));
    _mm_storeu_ps(to, _mm_add_ps(_mm_loadu_ps(to), four));
    return;
  }
#endif
  if constexpr (Pack<A>::width == 4) {
    Eigen::internal::PacketBlock<typename Pack<A>::Raw, 4> block{
        {x[0].raw, x[1].raw, x[2].raw, x[3].raw}};
    Eigen::internal::ptranspose(block);
    const Pack<A> sums = (Pack<A>(block.packet[0]) + Pack<A>(block.packet[1])) +
                         (Pack<A>(block.packet[2]) + Pack<A>(block.packet[3]));
    (Pack<A>::load(to) + sums).store(to);
  } else {
    ATTN_UNROLL
    for (Index t = 0; t < 4; ++t) to[t] += sum(x[t]);
  }
}

/// C += A B^T for `rows` dense rows and four of B.
template <Index rows, class A, class S>
ATTN_INLINE void add_dots_of_group(const ScratchRows<A>& a, const S* b0, const S* b1, const S* b2,
                                   const S* b3, Index length, const ScratchRows<A>& c) {
  constexpr Index width = Pack<A>::width;
  Pack<A> sums[rows][4];
  ATTN_UNROLL
  for (Index r = 0; r < rows; ++r) ATTN_UNROLL
  for (Index t = 0; t < 4; ++t) sums[r][t] = Pack<A>(0);
  const auto add = [&](Index k, const Pack<A>& x0, const Pack<A>& x1, const Pack<A>& x2,
                       const Pack<A>& x3) {
    ATTN_UNROLL
    for (Index r = 0; r < rows; ++r) {
      const Pack<A> y = Pack<A>::load(a.row(r) + k);
      sums[r][0] = multiply_add(x0, y, sums[r][0]);
      sums[r][1] = multiply_add(x1, y, sums[r][1]);
      sums[r][2] = multiply_add(x2, y, sums[r][2]);
      sums[r][3] = multiply_add(x3, y, sums[r][3]);
    }
  };
  Index k = 0;
  for (; k + width <= length; k += width)
    add(k, load_as<A>(b0 + k), load_as<A>(b1 + k), load_as<A>(b2 + k), load_as<A>(b3 + k));
  if (const Index rest = length - k; rest > 0)
    add(k, load_first_as<A>(b0 + k, rest), load_first_as<A>(b1 + k, rest),
        load_first_as<A>(b2 + k, rest), load_first_as<A>(b3 + k, rest));
  ATTN_UNROLL
  for (Index r = 0; r < rows; ++r) add_sums(sums[r], c.row(r));
}

/// C += A B^T. `next`: what will be read after B.
template <class A, class S>
ATTN_NOINLINE void add_dots(const ScratchRows<A>& a, Index rows, const StoredRows<S>& b,
                            const ScratchRows<A>& c, bool is_far, const StoredRows<S>& next) {
  const Index distance = is_far ? fetch_distance(b) : 0;
  const Index last = b.count - 1;  // the last row stands in for those behind it
  for (Index j = 0; j < b.count; j += 4) {
    if (is_far) fetch_ahead(b, next, j, distance);
    const S *b0 = b.row(j), *b1 = b.row(std::min(j + 1, last)), *b2 = b.row(std::min(j + 2, last)),
            *b3 = b.row(std::min(j + 3, last));
    for_row_blocks(rows, [&](Index r, auto block) {
      add_dots_of_group<block.value>(a.from(r, 0), b0, b1, b2, b3, b.length, c.from(r, j));
    });
  }
}

/// C += P B for `rows` dense rows and four of B; whole packs only.
template <Index rows, class A, class S>
ATTN_INLINE void add_mixture_of_group(const ScratchRows<A>& p, const StoredRows<S>& b,
                                      const ScratchRows<A>& c) {
  constexpr Index width = Pack<A>::width;
  const S *b0 = b.data, *b1 = b0 + b.stride, *b2 = b1 + b.stride, *b3 = b2 + b.stride;
  Pack<A> weight[rows][4];
  ATTN_UNROLL
  for (Index r = 0; r < rows; ++r) ATTN_UNROLL
  for (Index t = 0; t < 4; ++t) weight[r][t] = Pack<A>::broadcast(p.row(r) + t);
  for (Index k = 0; k + width <= b.length; k += width) {
    const Pack<A> x0 = load_as<A>(b0 + k), x1 = load_as<A>(b1 + k), x2 = load_as<A>(b2 + k),
                  x3 = load_as<A>(b3 + k);
    ATTN_UNROLL
    for (Index r = 0; r < rows; ++r) {
      A* to = c.row(r) + k;
      Pack<A> sums = multiply_add(x0, weight[r][0], Pack<A>::load(to));
      sums = multiply_add(x1, weight[r][1], sums);
      sums = multiply_add(x2, weight[r][2], sums);
      multiply_add(x3, weight[r][3], sums).store(to);
    }
  }
}

/// C += P B for `rows` dense rows, and one pack of columns of all of B.
template <Index rows, class A, class S>
ATTN_INLINE void add_mixture_of_columns(const ScratchRows<A>& p, const StoredRows<S>& b,
                                        Index lanes, const ScratchRows<A>& c) {
  Pack<A> sums[rows][4];
  ATTN_UNROLL
  for (Index r = 0; r < rows; ++r) ATTN_UNROLL
  for (Index t = 0; t < 4; ++t) sums[r][t] = Pack<A>(0);
  Index j = 0;
  for (; j + 4 <= b.count; j += 4) {
    const S* from = b.row(j);
    ATTN_UNROLL
    for (Index t = 0; t < 4; ++t) {
      const Pack<A> x = load_first_as<A>(from + t * b.stride, lanes);
      ATTN_UNROLL
      for (Index r = 0; r < rows; ++r)
        sums[r][t] = multiply_add(x, Pack<A>::broadcast(p.row(r) + j + t), sums[r][t]);
    }
  }
  for (; j < b.count; ++j) {
    const Pack<A> x = load_first_as<A>(b.row(j), lanes);
    ATTN_UNROLL
    for (Index r = 0; r < rows; ++r)
      sums[r][0] = multiply_add(x, Pack<A>::broadcast(p.row(r) + j), sums[r][0]);
  }
  ATTN_UNROLL
  for (Index r = 0; r < rows; ++r) {
    A* to = c.row(r);
    (Pack<A>::load(to) + ((sums[r][0] + sums[r][1]) + (sums[r][2] + sums[r][3]))).store(to);
  }
}

/// C += P B. Long rows go by four; short ones, the last pack of each and the last rows go by
/// columns, so that sums stay in registers. `next`: what will be read after B.
template <class A, class S>
ATTN_NOINLINE void add_mixtures(const ScratchRows<A>& p, Index rows, const StoredRows<S>& b,
                                const ScratchRows<A>& c, bool is_far, const StoredRows<S>& next) {
  constexpr Index width = Pack<A>::width;
  const Index whole = b.length / width * width;
  const Index distance = is_far ? fetch_distance(b) : 0;
  const Index by_four = whole >= 4 * width ? b.count / 4 * 4 : 0;
  for (Index j = 0; j < by_four; j += 4) {
    if (is_far) fetch_ahead(b, next, j, distance);
    for_row_blocks(rows, [&](Index r, auto block) {
      add_mixture_of_group<block.value>(
          p.from(r, j), StoredRows<S>{b.row(j), 4, b.length, b.stride}, c.from(r, 0));
    });
  }
  for (Index k = 0; k < b.length; k += width) {
    const Index first = k < whole ? by_four : 0, lanes = std::min(width, b.length - k);
    if (first == b.count) continue;
    const StoredRows<S> columns{b.row(first) + k, b.count - first, lanes, b.stride};
    for_row_blocks(rows, [&](Index r, auto block) {
      add_mixture_of_columns<block.value>(p.from(r, first), columns, lanes, c.from(r, k));
    });
  }
}

/// Whether packs can be gathered at this distance: their offsets are of 32 bits on some machines.
constexpr bool gathers_packs(Index step) { return step > -(1 << 26) && step < (1 << 26); }

/// `count` numbers, `step` apart, to a run; a scalar type that Eigen has packs of goes by packs.
template <class S, class A>
void gather(const S* from, Index step, Index count, A* to) {
  Index k = 0;
  if constexpr (std::is_same_v<S, A> && std::is_floating_point_v<A>)
    if (gathers_packs(step))
      for (; k + Pack<A>::width <= count; k += Pack<A>::width)
        Pack<A>(Eigen::internal::pgather<A, typename Pack<A>::Raw>(from + k * step, step))
            .store(to + k);
  for (; k < count; ++k) to[k] = static_cast<A>(from[k * step]);
}

/// The way back.
template <class A, class T>
void scatter(const A* from, Index count, T* to, Index step) {
  Index k = 0;
  if constexpr (std::is_same_v<T, A>)
    if (gathers_packs(step))
      for (; k + Pack<A>::width <= count; k += Pack<A>::width)
        Eigen::internal::pscatter(to + k * step, Pack<A>::load(from + k).raw, step);
  for (; k < count; ++k) to[k * step] = static_cast<T>(from[k]);
}

/// The same two with any step, which is often 1.
template <class S, class A>
void read_run(const S* from, Index step, Index count, A* to) {
  step == 1 ? convert_run(from, count, to) : gather(from, step, count, to);
}
template <class A, class T>
void write_run(const A* from, Index count, T* to, Index step) {
  step == 1 ? convert_run(from, count, to) : scatter(from, count, to, step);
}

}  // namespace engine
ATTN_END_NAMESPACE

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic pop
#endif
