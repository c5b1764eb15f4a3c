// SPDX-License-Identifier: Apache-2.0
// One case of attention: its sizes and seed, printed where a test fails, and its matrices.
#pragma once

#include <attn/config.hpp>
#include <cstdint>
#include <ostream>

#include "random.hpp"

namespace support {

struct Case {
  attn::Index n_q = 7;
  attn::Index n_k = 9;
  attn::Index d = 5;
  attn::Index d_v = 3;
  attn::Index heads = 1;      ///< of the queries; d and d_v are those of one head
  attn::Index key_heads = 1;  ///< of the keys and values
  std::uint64_t seed = 1;

  friend std::ostream& operator<<(std::ostream& out, const Case& c) {
    return out << "n_q " << c.n_q << ", n_k " << c.n_k << ", d " << c.d << ", d_v " << c.d_v
               << ", heads " << c.heads << "/" << c.key_heads << ", seed " << c.seed;
  }
};

/// Q, K, V and the gradient of a loss by O, heads side by side in the columns.
template <class T = double>
struct Problem {
  attn::MatrixX<T> Q;
  attn::MatrixX<T> K;
  attn::MatrixX<T> V;
  attn::MatrixX<T> dO;

  explicit Problem(const Case& c)
      : Q(random<T>(c.n_q, c.heads * c.d, 4 * c.seed)),
        K(random<T>(c.n_k, c.key_heads * c.d, 4 * c.seed + 1)),
        V(random<T>(c.n_k, c.key_heads * c.d_v, 4 * c.seed + 2)),
        dO(random<T>(c.n_q, c.heads * c.d_v, 4 * c.seed + 3)) {}
};

}  // namespace support
