// SPDX-License-Identifier: Apache-2.0
// The ground: version, the versioned namespace, `Index`, and the few macros.
// Next: check.hpp (errors), concepts.hpp (what a part is).
#pragma once

#include <Eigen/Core>

#if !EIGEN_VERSION_AT_LEAST(3, 3, 90)
#error "attn: Eigen 3.4 or newer is needed (3.4 and 5.x both work)."
#endif

#define ATTN_VERSION_MAJOR 0
#define ATTN_VERSION_MINOR 1
#define ATTN_VERSION_PATCH 0

// The inline namespace carries the version and the instruction set, so that two translation units
// built with different flags can be linked without sharing one another's kernels.
#if defined(EIGEN_DONT_VECTORIZE)
#define ATTN_ABI v0_1_scalar
#elif defined(__AVX512F__)
#define ATTN_ABI v0_1_avx512
#elif defined(__AVX2__) && defined(__FMA__)
#define ATTN_ABI v0_1_avx2
#elif defined(__AVX__)
#define ATTN_ABI v0_1_avx
#elif defined(__ARM_NEON)
#define ATTN_ABI v0_1_neon
#else
#define ATTN_ABI v0_1_base
#endif

#define ATTN_BEGIN_NAMESPACE \
  namespace attn {           \
  inline namespace ATTN_ABI {
#define ATTN_END_NAMESPACE \
  }                        \
  }

#if defined(__cpp_exceptions) || defined(_CPPUNWIND)
#define ATTN_EXCEPTIONS 1
#else
#define ATTN_EXCEPTIONS 0
#endif

#if defined(__GNUC__)
// Keeps cold and heavy functions out of the loops that call them.
#define ATTN_NOINLINE __attribute__((noinline))
// Puts a function into its caller whatever its size: a micro-kernel lives in registers.
#define ATTN_INLINE inline __attribute__((always_inline))
// A call that resolves to such a function is an error on the caller's own line, with this text.
#define ATTN_UNAVAILABLE(text) __attribute__((unavailable(text)))
#else
#define ATTN_NOINLINE
#define ATTN_INLINE inline
#define ATTN_UNAVAILABLE(text) [[deprecated(text)]]
#endif

// Unrolls the loop behind it, whose bound is a constant, so that its arrays live in registers.
#if defined(__clang__)
#define ATTN_UNROLL _Pragma("clang loop unroll(full)")
#elif defined(__GNUC__)
#define ATTN_UNROLL _Pragma("GCC unroll 32")
#else
#define ATTN_UNROLL
#endif

ATTN_BEGIN_NAMESPACE

/// Every size, index and position: signed, so that offsets may be negative.
using Index = Eigen::Index;

// Eigen's own names for dynamic sizes: `using namespace` of both libraries stays unambiguous.
using Eigen::MatrixX;
using Eigen::RowVectorX;
using Eigen::VectorX;

ATTN_END_NAMESPACE
