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
template <typename T>
struct BasicParameter {
  std::string name;
  Index rows = 0;
  Index columns = 0;
  Eigen::Map<VectorOf<T>> value{nullptr, 0};
  Eigen::Map<VectorOf<T>> gradient{nullptr, 0};
  // Rows with a gradient; null when all of them have one. Row-major storage is assumed then.
  const std::vector<Index>* touched_rows = nullptr;
};
using Parameter = BasicParameter<float>;

/// Eigen::Map has no ordinary assignment, so a parameter is made in one go.
template <typename Value, typename Gradient>
auto parameter(std::string name, Value& value, Gradient& gradient,
               const std::vector<Index>* touched_rows = nullptr)
    -> BasicParameter<typename Value::Scalar> {
  using Numbers = Eigen::Map<VectorOf<typename Value::Scalar>>;
  return {.name = std::move(name),
          .rows = value.rows(),
          .columns = value.cols(),
          .value = Numbers(value.data(), value.size()),
          .gradient = Numbers(gradient.data(), gradient.size()),
          .touched_rows = touched_rows};
}

}  // namespace examples
