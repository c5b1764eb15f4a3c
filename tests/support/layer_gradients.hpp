// SPDX-License-Identifier: Apache-2.0
// Gradients of the examples' layers against central differences, in double.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "../examples/support/matrix.hpp"
#include "../examples/support/parameter.hpp"
#include "../examples/support/random.hpp"

namespace examples {

using Doubles = MatrixOf<double>;

inline Doubles random_doubles(Index rows, Index cols, std::uint64_t seed) {
  return Random(seed).normal_matrix(rows, cols, 1).cast<double>();
}

/// The gradient by `count` numbers against central differences of `loss`; of many numbers, every
/// `every`-th is looked at.
inline void expect_gradient(double* numbers, const double* gradient, Index count,
                            const std::function<double()>& loss, const std::string& name,
                            Index every = 1) {
  const double h = 1e-5;
  for (Index i = 0; i < count; i += every) {
    const double before = numbers[i];
    numbers[i] = before + h;
    const double above = loss();
    numbers[i] = before - h;
    const double below = loss();
    numbers[i] = before;
    const double expected = (above - below) / (2 * h);
    EXPECT_TRUE(std::abs(gradient[i] - expected) <= 1e-7 * std::max(1.0, std::abs(expected)))
        << name << ", number " << i << ": " << gradient[i] << " and should be " << expected;
  }
}

/// Of each parameter `most` numbers or a few more are looked at.
inline void expect_parameter_gradients(std::vector<BasicParameter<double>>& parameters,
                                       const std::function<double()>& loss, Index most = 1000000) {
  for (auto& p : parameters) {
    ASSERT_GT(p.value.size(), 0) << p.name;
    expect_gradient(p.value.data(), p.gradient.data(), p.value.size(), loss, p.name,
                    std::max<Index>(1, p.value.size() / most));
  }
}

/// Weights away from where they start: norms at 1 and biases at 0 would hide mistakes.
inline void disturb(std::vector<BasicParameter<double>>& parameters) {
  Random random(17);
  for (auto& p : parameters)
    for (Index i = 0; i < p.value.size(); ++i)
      p.value(i) += 0.3 * static_cast<double>(random.normal());
}

/// Of a layer for rows of five features: by its input and by its parameters.
template <class Layer>
void expect_row_layer_gradients(Layer layer) {
  Doubles X = random_doubles(3, 5, 1);
  const Doubles dY = random_doubles(3, 5, 2);
  std::vector<BasicParameter<double>> parameters;
  layer.append_parameters(parameters, "layer");
  disturb(parameters);
  const auto loss = [&] { return layer.forward(X).cwiseProduct(dY).sum(); };
  const Doubles dX = layer.backward(X, dY);
  expect_gradient(X.data(), dX.data(), X.size(), loss, "X");
  expect_parameter_gradients(parameters, loss);
}

}  // namespace examples
