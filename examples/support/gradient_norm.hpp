// SPDX-License-Identifier: Apache-2.0
// One step's say over the weights, limited: gradients that are too long together are shortened.
//
//     g <- g min(1, limit / |g|),   |g| over all parameters
//
// Source: Pascanu, Mikolov and Bengio 2013, algorithm 1.
#pragma once

#include <cmath>
#include <vector>

#include "parameter.hpp"

namespace examples {

/// Returns the norm before.
inline double clip_gradients(std::vector<Parameter>& parameters, double limit) {
  double square = 0;
  for (const Parameter& p : parameters) square += static_cast<double>(p.gradient.squaredNorm());
  const double norm = std::sqrt(square);
  if (norm > limit) {
    for (Parameter& p : parameters) p.gradient *= static_cast<float>(limit / norm);
  }
  return norm;
}

}  // namespace examples
