// SPDX-License-Identifier: Apache-2.0
// The most multiply-adds a core does: what every speed here is a fraction of.
//
// Twelve independent chains of packets hide the latency of four cycles on two ports, and leave room
// for the factors in sixteen registers. No memory is touched.
#pragma once

#include <algorithm>
#include <cstddef>
#include <utility>

#include <Eigen/Core>

#include "timing.hpp"

namespace bench {

/// The chains are unrolled by hand, so that they stay in registers whatever the optimiser thinks.
template <class Packet, std::size_t... C>
inline void chain(Packet* sums, int rounds, const Packet& factor, const Packet& addend,
                  std::index_sequence<C...>) {
  Packet local[] = {sums[C]...};
  for (int r = 0; r < rounds; ++r)
    ((local[C] = Eigen::internal::pmadd(local[C], factor, addend)), ...);
  ((sums[C] = local[C]), ...);
}

/// Half a millisecond.
inline constexpr int usual_fma_rounds = 200000;

/// FLOP/s over so many rounds of the loop.
template <class T>
double fma_flops_once(int rounds = usual_fma_rounds) {
  using Packet = typename Eigen::internal::packet_traits<T>::type;
  constexpr int chains = 12;
  Packet sums[chains];
  for (int c = 0; c < chains; ++c) sums[c] = Eigen::internal::pset1<Packet>(T(c));
  const volatile T numbers[] = {T(0.999), T(0.001)};  // the sums stay near one
  const T near_one = numbers[0], small = numbers[1];
  const Packet factor = Eigen::internal::pset1<Packet>(near_one);
  const Packet addend = Eigen::internal::pset1<Packet>(small);
  const double start = now();
  chain(sums, rounds, factor, addend, std::make_index_sequence<chains>());
  const double seconds = now() - start;
  for (int c = 1; c < chains; ++c) sums[0] = Eigen::internal::padd(sums[0], sums[c]);
  volatile T used = Eigen::internal::predux(sums[0]);
  static_cast<void>(used);
  constexpr double width = Eigen::internal::packet_traits<T>::size;
  return 2.0 * width * chains * rounds / seconds;
}

/// Floating-point operations a second of one core, in this process and this build's instruction
/// set: the best of several tries, since a neighbour can only slow it down.
template <class T>
double fma_peak() {
  static const double peak = [] {
    double best = 0;
    for (int attempt = 0; attempt < 20; ++attempt) best = std::max(best, fma_flops_once<T>());
    return best;
  }();
  return peak;
}

}  // namespace bench
