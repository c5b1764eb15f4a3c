// SPDX-License-Identifier: Apache-2.0
// Random numbers that are the same with every compiler and standard library.
//
// The distributions of <random> may differ between standard libraries, so that a seed would not
// mean the same run everywhere. The generator is SplitMix64 (Steele, Lea, Flood 2014).
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numbers>
#include <utility>

#include "matrix.hpp"

namespace examples {

class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed) {}

  std::uint64_t bits() {
    state_ += 0x9E3779B97F4A7C15u;
    std::uint64_t z = state_;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
  }

  /// Uniform in [0, 1): the upper 24 bits, all that a float can hold.
  float uniform() { return static_cast<float>(bits() >> 40) * 0x1.0p-24f; }

  /// Uniform in {0, ..., n - 1}; the bias is below n / 2^64.
  std::size_t below(std::size_t n) { return static_cast<std::size_t>(bits() % n); }

  /// Standard normal (Box and Muller 1958); 1 - u keeps the logarithm finite.
  float normal() {
    const float radius = std::sqrt(-2.f * std::log(1.f - uniform()));
    return radius * std::cos(2.f * std::numbers::pi_v<float> * uniform());
  }

  /// Fisher-Yates.
  template <typename Container>
  void shuffle(Container& items) {
    for (std::size_t i = items.size(); i > 1; --i) std::swap(items[i - 1], items[below(i)]);
  }

  /// Independent normal entries of the given standard deviation.
  Matrix normal_matrix(Index rows, Index columns, float deviation) {
    return Matrix::NullaryExpr(rows, columns, [&](Index, Index) { return deviation * normal(); });
  }

 private:
  std::uint64_t state_;
};

/// The seed of part `index` of something that `seed` decides about, such as one image of a set:
/// every part can be made by itself, in any order and on any thread.
inline std::uint64_t seed_of_part(std::uint64_t seed, std::uint64_t index) {
  return Random(Random(seed).bits() + index).bits();
}

}  // namespace examples
