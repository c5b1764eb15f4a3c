// SPDX-License-Identifier: Apache-2.0
// Between storage types and packs of the accumulator type, at the speed of a load.
//
//     bfloat16  the upper 16 bits of a float: a shift
//     half      one instruction with F16C, AVX-512 or on aarch64, else some twelve on the bits
//     int8      whole numbers: two instructions with AVX2 and up; scales are not applied here
//
// Numbers convert bit for bit as Eigen's own casts do, rounding to nearest, ties to even; NaN stays
// NaN of the same sign (which bits it carries differs between processors). Eigen 3.4 itself takes
// halves apart one by one with g++, which costs 40 times as much. Next: row_kernel.hpp.
#pragma once

#include <algorithm>
#include <bit>
#include <concepts>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include <attn/config.hpp>
#include <attn/engine/packet.hpp>

#if defined(EIGEN_VECTORIZE_AVX)
#include <immintrin.h>
#endif

ATTN_BEGIN_NAMESPACE
namespace engine {

/// The storage types of 16 bits.
template <class T>
concept Narrow = std::same_as<T, Eigen::half> || std::same_as<T, Eigen::bfloat16>;

/// The bits of a float from those of a narrow number, without branches.
template <Narrow T>
std::uint32_t widened(std::uint16_t bits) {
  if constexpr (std::is_same_v<T, Eigen::bfloat16>) {
    return std::uint32_t{bits} << 16;
  } else {
    const std::uint32_t rebias = std::uint32_t{127 - 15} << 23;
    const std::uint32_t magnitude = std::uint32_t{bits & 0x7fffu} << 13;
    const std::uint32_t exponent = magnitude & 0x0f800000u;
    // inf and NaN keep an exponent of ones; numbers below the normal ones are renormalised by
    // giving them a leading bit and subtracting it again as a float
    const std::uint32_t usual = magnitude + rebias + (exponent == 0x0f800000u ? rebias : 0u);
    const float leading = std::bit_cast<float>(rebias + 0x00800000u);
    const float small = std::bit_cast<float>(magnitude + rebias + 0x00800000u) - leading;
    return (exponent == 0 ? std::bit_cast<std::uint32_t>(small) : usual) |
           std::uint32_t{bits & 0x8000u} << 16;
  }
}

/// The bits of the narrow number nearest to a float, ties to even.
template <Narrow T>
std::uint16_t narrowed(std::uint32_t bits) {
  const std::uint32_t sign = bits & 0x80000000u, magnitude = bits ^ sign;
  const bool is_nan = magnitude > 0x7f800000u;
  std::uint32_t result;
  if constexpr (std::is_same_v<T, Eigen::bfloat16>) {
    const std::uint32_t rounded = (magnitude + 0x7fffu + (magnitude >> 16 & 1u)) >> 16;
    result = is_nan ? 0x7fc0u : rounded;
  } else {
    const std::uint32_t odd = magnitude >> 13 & 1u;
    const std::uint32_t usual = (magnitude - (std::uint32_t{127 - 15} << 23) + 0xfffu + odd) >> 13;
    // added to 0.5, a number below 2^-14 leaves its halves' bits at the bottom, rounded
    const float half = std::bit_cast<float>(magnitude) + 0.5f;
    const std::uint32_t small = std::bit_cast<std::uint32_t>(half) - 0x3f000000u;
    const std::uint32_t finite = magnitude < (std::uint32_t{127 - 14} << 23) ? small : usual;
    result = is_nan ? 0x7e00u : magnitude >= (std::uint32_t{127 + 16} << 23) ? 0x7c00u : finite;
  }
  return static_cast<std::uint16_t>(result | sign >> 16);
}

#if defined(EIGEN_VECTORIZE_AVX512)
// g++ 12 warns of undefined operands inside its own intrinsics that have no mask.
inline constexpr __mmask16 every_lane = 0xffff;
#endif

/// A pack of floats from narrow numbers.
template <Narrow T>
Pack<float> widen(const T* from) {
  using P = Pack<float>;
#if defined(EIGEN_VECTORIZE_AVX512)
  const __m256i bits = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
  if constexpr (std::is_same_v<T, Eigen::half>)
    return P(_mm512_maskz_cvtph_ps(every_lane, bits));
  else
    return P(_mm512_castsi512_ps(
        _mm512_maskz_slli_epi32(every_lane, _mm512_maskz_cvtepu16_epi32(every_lane, bits), 16)));
#else
#if defined(EIGEN_VECTORIZE_AVX2) && defined(__F16C__)
  const __m128i bits = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
  if constexpr (std::is_same_v<T, Eigen::half>)
    return P(_mm256_cvtph_ps(bits));
  else
    return P(_mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16)));
#elif defined(EIGEN_VECTORIZE_NEON) && defined(__aarch64__)
  std::uint16_t stored[4];
  std::memcpy(stored, from, sizeof(stored));
  const uint16x4_t bits = vld1_u16(stored);
  if constexpr (std::is_same_v<T, Eigen::half>)
    return P(vcvt_f32_f16(vreinterpret_f16_u16(bits)));
  else
    return P(vreinterpretq_f32_u32(vshll_n_u16(bits, 16)));
#else
  std::uint16_t stored[P::width];
  float lanes[P::width];
  std::memcpy(stored, from, sizeof(stored));
  for (Index l = 0; l < P::width; ++l) lanes[l] = std::bit_cast<float>(widened<T>(stored[l]));
  return P::load(lanes);
#endif
#endif
}

/// A pack of floats from whole numbers of 8 bits.
inline Pack<float> widen(const std::int8_t* from) {
  using P = Pack<float>;
#if defined(EIGEN_VECTORIZE_AVX512)
  const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
  return P(_mm512_maskz_cvtepi32_ps(every_lane, _mm512_maskz_cvtepi8_epi32(every_lane, bytes)));
#elif defined(EIGEN_VECTORIZE_AVX2)
  const __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(from));
  return P(_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes)));
#else
  float lanes[P::width];
  for (Index l = 0; l < P::width; ++l) lanes[l] = static_cast<float>(from[l]);
  return P::load(lanes);
#endif
}

/// Narrow numbers from a pack of floats.
template <Narrow T>
void narrow(const Pack<float>& from, T* to) {
  using P = Pack<float>;
#if defined(EIGEN_VECTORIZE_AVX512) || (defined(EIGEN_VECTORIZE_AVX) && defined(__F16C__))
  if constexpr (std::is_same_v<T, Eigen::half>) {
    constexpr int nearest = _MM_FROUND_TO_NEAREST_INT;
#if defined(EIGEN_VECTORIZE_AVX512)
    const __m256i bits = _mm512_maskz_cvtps_ph(every_lane, from.raw, nearest | _MM_FROUND_NO_EXC);
#else
    const __m128i bits = _mm256_cvtps_ph(from.raw, nearest);
#endif
    std::memcpy(static_cast<void*>(to), &bits, sizeof(bits));
    return;
  }
#endif
  float lanes[P::width];
  std::uint16_t bits[P::width];
  from.store(lanes);
  for (Index l = 0; l < P::width; ++l)
    bits[l] = narrowed<T>(std::bit_cast<std::uint32_t>(lanes[l]));
  std::memcpy(static_cast<void*>(to), bits, sizeof(bits));
}

/// A pack of the accumulator type from numbers of any storage type.
template <class A, class T>
Pack<A> load_as(const T* from) {
  if constexpr (std::is_same_v<A, T>) {
    return Pack<A>::load(from);
  } else if constexpr (std::is_same_v<A, float> && (Narrow<T> || std::is_same_v<T, std::int8_t>)) {
    return widen(from);
  } else {
    A lanes[Pack<A>::width];
    for (Index l = 0; l < Pack<A>::width; ++l) lanes[l] = static_cast<A>(from[l]);
    return Pack<A>::load(lanes);
  }
}

#if defined(EIGEN_VECTORIZE_AVX) && !defined(EIGEN_VECTORIZE_AVX512)
/// The mask of the first `count` of eight floats.
inline __m256i first_lanes(Index count) {
  alignas(32) static constexpr std::int32_t mask[16] = {-1, -1, -1, -1, -1, -1, -1, -1};
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(mask + 8 - count));
}
#endif

/// The same of the first `count` numbers (none or more), zeros behind them; nothing past them is
/// read.
template <class A, class T>
Pack<A> load_first_as(const T* from, Index count) {
  if (count >= Pack<A>::width) return load_as<A>(from);
#if defined(EIGEN_VECTORIZE_AVX512)
  const auto lanes_in = static_cast<std::uint32_t>((std::uint32_t{1} << count) - 1);
  if constexpr (std::is_same_v<T, float> && std::is_same_v<A, float>)
    return Pack<A>(_mm512_maskz_loadu_ps(static_cast<__mmask16>(lanes_in), from));
  if constexpr (std::is_same_v<T, double> && std::is_same_v<A, double>)
    return Pack<A>(_mm512_maskz_loadu_pd(static_cast<__mmask8>(lanes_in), from));
#elif defined(EIGEN_VECTORIZE_AVX)
  if constexpr (std::is_same_v<T, float> && std::is_same_v<A, float>)
    return Pack<A>(_mm256_maskload_ps(from, first_lanes(count)));
#endif
  if (count == 0) return Pack<A>(0);
  if constexpr (Narrow<T>) {
    std::uint16_t bits[Pack<A>::width] = {};
    std::memcpy(bits, from, sizeof(T) * static_cast<std::size_t>(count));
    T lanes[Pack<A>::width];
    std::memcpy(static_cast<void*>(lanes), bits, sizeof(lanes));
    return load_as<A>(lanes);
  } else {
    T lanes[Pack<A>::width] = {};
    std::copy_n(from, count, lanes);
    return load_as<A>(lanes);
  }
}

/// Numbers of any storage type from a pack of the accumulator type.
template <class T, class A>
void store_as(const Pack<A>& from, T* to) {
  if constexpr (std::is_same_v<A, T>) {
    from.store(to);
  } else if constexpr (std::is_same_v<A, float> && Narrow<T>) {
    narrow(from, to);
  } else {
    A lanes[Pack<A>::width];
    from.store(lanes);
    for (Index l = 0; l < Pack<A>::width; ++l) to[l] = static_cast<T>(lanes[l]);
  }
}

/// The first `count` of them; nothing past them is written.
template <class T, class A>
void store_first_as(const Pack<A>& from, T* to, Index count) {
  if (count >= Pack<A>::width) return store_as(from, to);
#if defined(EIGEN_VECTORIZE_AVX512)
  const auto lanes_out = static_cast<std::uint32_t>((std::uint32_t{1} << count) - 1);
  if constexpr (std::is_same_v<T, float> && std::is_same_v<A, float>)
    return _mm512_mask_storeu_ps(to, static_cast<__mmask16>(lanes_out), from.raw);
  if constexpr (std::is_same_v<T, double> && std::is_same_v<A, double>)
    return _mm512_mask_storeu_pd(to, static_cast<__mmask8>(lanes_out), from.raw);
#elif defined(EIGEN_VECTORIZE_AVX)
  if constexpr (std::is_same_v<T, float> && std::is_same_v<A, float>)
    return _mm256_maskstore_ps(to, first_lanes(count), from.raw);
#endif
  T lanes[Pack<A>::width];
  store_as(from, lanes);
  std::copy_n(lanes, count, to);
}

/// `count` neighbouring numbers from one type to another; one of the two is the accumulator type.
template <class From, class To>
void convert_run(const From* from, Index count, To* to) {
  using A = std::conditional_t<Narrow<From>, To, From>;
  constexpr Index width = Pack<A>::width;
  Index k = 0;
  for (; k + width <= count; k += width) store_as(load_as<A>(from + k), to + k);
  if (k < count) store_first_as(load_first_as<A>(from + k, count - k), to + k, count - k);
}

/// Whether every number of `runs` runs of `length` numbers is finite: x - x is 0, and else NaN.
template <class A, class T>
ATTN_NOINLINE bool all_finite(const T* data, Index runs, Index length, Index stride) {
  constexpr Index side_by_side = 4;  // sums that do not wait for one another
  Pack<A> differences[side_by_side] = {A(0), A(0), A(0), A(0)};
  for (Index first = 0; first < runs; first += side_by_side)
    for (Index k = 0; k < length; k += Pack<A>::width) {
      ATTN_UNROLL
      for (Index r = 0; r < side_by_side; ++r) {
        const T* run = data + std::min(first + r, runs - 1) * stride;
        const Pack<A> x = load_first_as<A>(run + k, length - k);
        differences[r] += x - x;
      }
    }
  return sum(differences[0] + differences[1] + differences[2] + differences[3]) == A(0);
}

}  // namespace engine
ATTN_END_NAMESPACE
