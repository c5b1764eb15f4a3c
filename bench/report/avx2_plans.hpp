// SPDX-License-Identifier: Apache-2.0
// What the AVX2 build measures: known to the program that measures and to the one that asks.
#pragma once

#include <array>

#include "row.hpp"

namespace bench::report {

struct Avx2Size {
  Index n, d;
};
inline constexpr std::array<Avx2Size, 4> avx2_sizes{
    {{512, 64}, {2048, 64}, {512, 128}, {2048, 128}}};
inline constexpr const char* avx2_work = "forward, AVX2 build";
inline constexpr Goal avx2_goal = at_least(0.73, 0.80);

}  // namespace bench::report
