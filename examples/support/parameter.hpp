// SPDX-License-Identifier: Apache-2.0
// A trainable tensor as the optimiser, the averaging and the saving see it: a name and flat
// numbers.
#pragma once

#include <Eigen/Core>
#include <string>
#include <utility>
#include <vector>

#include "matrix.hpp"

namespace examples {

/// Refers to the tensor and to its gradient, which must outlive it.
struct Parameter {
  std::string name;
  Index rows = 0;
  Index columns = 0;
  Eigen::Map<Vector> value{nullptr, 0};
  Eigen::Map<Vector> gradient{nullptr, 0};
  // Rows with a gradient; null when all of them have one. Row-major storage is assumed then.
  const std::vector<Index>* touched_rows = nullptr;
};

/// Eigen::Map has no ordinary assignment, so a parameter is made in one go.
template <typename Value, typename Gradient>
Parameter parameter(std::string name, Value& value, Gradient& gradient,
                    const std::vector<Index>* touched_rows = nullptr) {
  return {.name = std::move(name),
          .rows = value.rows(),
          .columns = value.cols(),
          .value = Eigen::Map<Vector>(value.data(), value.size()),
          .gradient = Eigen::Map<Vector>(gradient.data(), gradient.size()),
          .touched_rows = touched_rows};
}

}  // namespace examples
