// SPDX-License-Identifier: Apache-2.0
// Root-mean-square norm with a learned weight a feature.
//
//     y = w * x / rms(x),   rms(x) = sqrt(mean(x^2) + eps)
//
// Source: Zhang and Sennrich 2019, eq. 4.
#pragma once

#include <string>
#include <vector>

#include "matrix.hpp"
#include "parameter.hpp"

namespace examples {

template <typename T>
class RmsNorm {
 public:
  explicit RmsNorm(Index features)
      : weight_(VectorOf<T>::Ones(features)), weight_gradient_(VectorOf<T>::Zero(features)) {}

  MatrixOf<T> forward(const MatrixOf<T>& X) const {
    return inverse_rms(X).asDiagonal() * X * weight_.asDiagonal();
  }

  /// Overwrites the weight's gradient and returns dX.
  MatrixOf<T> backward(const MatrixOf<T>& X, const MatrixOf<T>& dY) {
    const VectorOf<T> scale = inverse_rms(X);
    const MatrixOf<T> normed = scale.asDiagonal() * X;
    weight_gradient_ = dY.cwiseProduct(normed).colwise().sum().transpose();
    MatrixOf<T> dX = dY * weight_.asDiagonal();
    const VectorOf<T> along = dX.cwiseProduct(normed).rowwise().mean();
    dX -= along.asDiagonal() * normed;
    return scale.asDiagonal() * dX;
  }

  void append_parameters(std::vector<BasicParameter<T>>& parameters, const std::string& prefix) {
    parameters.push_back(parameter(prefix + ".weight", weight_, weight_gradient_));
  }

 private:
  static VectorOf<T> inverse_rms(const MatrixOf<T>& X) {
    constexpr T kEpsilon = T(1e-6);
    return (X.array().square().rowwise().mean() + kEpsilon).rsqrt();
  }

  VectorOf<T> weight_;
  VectorOf<T> weight_gradient_;
};

}  // namespace examples
