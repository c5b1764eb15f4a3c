// SPDX-License-Identifier: Apache-2.0
// The learning rate over a training: a straight way up, then half a cosine down.
//
// Source: Loshchilov and Hutter 2017, eq. 5, without restarts.
#pragma once

#include <cmath>
#include <numbers>

namespace examples {

/// The factor at `progress`, the share of the training that is over, from 0 to 1.
inline double warmup_and_cosine(double progress, double warmup = 0.05, double last = 0.05) {
  if (progress < warmup) return progress / warmup;
  const double way = (progress - warmup) / (1 - warmup);
  return last + (1 - last) * 0.5 * (1 + std::cos(std::numbers::pi * way));
}

}  // namespace examples
