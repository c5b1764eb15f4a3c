// SPDX-License-Identifier: Apache-2.0
// Keeps freed memory in the process, so that benchmarks compare arithmetic and not page faults.
#pragma once

#include <cstdlib>  // tells whether this is glibc

#if defined(__GLIBC__)
#include <malloc.h>
#endif

namespace bench {

/// Otherwise whether S (n_q x n_k) costs page faults in every call of plain Eigen depends on what
/// ran before, and attn looks up to twice as fast as it is.
inline void keep_heap() {
#if defined(__GLIBC__)
  constexpr int most = 32 << 20;  // the largest threshold that glibc takes
  mallopt(M_MMAP_THRESHOLD, most);
  mallopt(M_TRIM_THRESHOLD, 16 * most);
#endif
}

}  // namespace bench
