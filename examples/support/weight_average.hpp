// SPDX-License-Identifier: Apache-2.0
// The mean of the weights that training passed through, and copies of weights.
//
// Steps of a noisy gradient circle around a minimum; the mean of the circle lies nearer to it
// (Polyak and Juditsky 1992).
#pragma once

#include <cstddef>
#include <vector>

#include "matrix.hpp"
#include "parameter.hpp"

namespace examples {

using Weights = std::vector<Vector>;

inline Weights copy_weights(const std::vector<Parameter>& parameters) {
  Weights weights;
  for (const Parameter& p : parameters) weights.emplace_back(p.value);
  return weights;
}

inline void set_weights(std::vector<Parameter>& parameters, const Weights& weights) {
  for (std::size_t i = 0; i < parameters.size(); ++i) parameters[i].value = weights[i];
}

class WeightAverage {
 public:
  /// Takes the present weights into the mean.
  void add(const std::vector<Parameter>& parameters) {
    if (count_ == 0) mean_ = copy_weights(parameters);
    ++count_;
    const float share = 1 / static_cast<float>(count_);
    for (std::size_t i = 0; i < parameters.size(); ++i) {
      mean_[i] += share * (parameters[i].value - mean_[i]);
    }
  }

  const Weights& mean() const { return mean_; }

 private:
  Weights mean_;
  int count_ = 0;
};

}  // namespace examples
