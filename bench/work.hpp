// SPDX-License-Identifier: Apache-2.0
// One benchmark: what it runs, what it is compared with, and how its result is checked.
//
// A benchmark prepares its data when it is first run, refuses to be timed where its result is
// wrong, and reports FLOP/s of the visible part, the fraction of the FMA peak, and the speed
// relative to plain Eigen (above 1: attn is faster) from interleaved runs.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "timing.hpp"

namespace bench {

struct Work {
  double flops = 0;                 ///< of the visible part of one run
  double peak = 0;                  ///< FLOP/s that could be had
  Call run;                         ///< the call that is timed
  std::vector<Call> plain{};        ///< the same with plain Eigen, in as many ways
  std::function<double()> error{};  ///< of the result, as a multiple of what is allowed
};

/// The work is made when the benchmark is first run.
void add_benchmark(const std::string& name, std::function<Work()> make);

/// Time of the first call over that of the second: the median of turns side by side, so that both
/// see the same disturbances.
double time_ratio(const Call& first, const Call& second, double seconds);

}  // namespace bench
