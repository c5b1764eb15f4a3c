// SPDX-License-Identifier: Apache-2.0
// Random matrices that are the same on every machine and in every run.
#pragma once

#include <attn/config.hpp>
#include <cstdint>
#include <random>

namespace support {

/// Uniform numbers in [-1, 1). std::uniform_real_distribution would differ between libraries.
template <class T = double>
attn::MatrixX<T> random(attn::Index rows, attn::Index cols, std::uint64_t seed) {
  std::mt19937_64 bits(seed);
  attn::MatrixX<T> m(rows, cols);
  for (attn::Index j = 0; j < cols; ++j)
    for (attn::Index i = 0; i < rows; ++i)
      m(i, j) = static_cast<T>(static_cast<double>(bits() >> 11) * 0x1p-52 - 1.0);
  return m;
}

/// The same as a column.
template <class T = double>
attn::VectorX<T> random_vector(attn::Index size, std::uint64_t seed) {
  return random<T>(size, 1, seed);
}

}  // namespace support
