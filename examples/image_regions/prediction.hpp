// SPDX-License-Identifier: Apache-2.0
// What a model says of canvases: a row each.
#pragma once

#include "../support/matrix.hpp"

namespace examples {

template <typename T>
struct RegionPrediction {
  MatrixOf<T> probabilities;  // a column a class
  MatrixOf<T> weights;        // a column a region; empty where a model has no regions
};

}  // namespace examples
