// SPDX-License-Identifier: Apache-2.0
// Scales every row to mean 0 and variance 1, then each feature by a learned weight and bias.
//
//     y = x' w + b,   x' = (x - mean(x)) / sqrt(var(x) + eps)
//
// Source: Ba, Kiros and Hinton 2016, eq. 4.
#pragma once

#include <string>
#include <vector>

#include "matrix.hpp"
#include "parameter.hpp"

namespace examples {

template <typename T>
class LayerNorm {
 public:
  explicit LayerNorm(Index features)
      : weight_(VectorOf<T>::Ones(features)),
        bias_(VectorOf<T>::Zero(features)),
        weight_gradient_(VectorOf<T>::Zero(features)),
        bias_gradient_(VectorOf<T>::Zero(features)) {}

  MatrixOf<T> forward(const MatrixOf<T>& X) const {
    MatrixOf<T> Y = normalize(X).rows * weight_.asDiagonal();
    Y.rowwise() += bias_.transpose();
    return Y;
  }

  /// Overwrites the parameters' gradients and returns dX.
  MatrixOf<T> backward(const MatrixOf<T>& X, const MatrixOf<T>& dY) {
    const Normalized normed = normalize(X);
    weight_gradient_ = dY.cwiseProduct(normed.rows).colwise().sum().transpose();
    bias_gradient_ = dY.colwise().sum().transpose();
    // What moves a row along its mean or along itself is lost in the norm.
    MatrixOf<T> dX = dY * weight_.asDiagonal();
    const VectorOf<T> along = dX.cwiseProduct(normed.rows).rowwise().mean();
    const VectorOf<T> mean = dX.rowwise().mean();
    dX -= along.asDiagonal() * normed.rows;
    dX.colwise() -= mean;
    return normed.scale.asDiagonal() * dX;
  }

  void append_parameters(std::vector<BasicParameter<T>>& parameters, const std::string& prefix) {
    parameters.push_back(parameter(prefix + ".weight", weight_, weight_gradient_));
    parameters.push_back(parameter(prefix + ".bias", bias_, bias_gradient_));
  }

 private:
  struct Normalized {
    MatrixOf<T> rows;
    VectorOf<T> scale;  // 1 / sqrt(var + eps)
  };

  static Normalized normalize(const MatrixOf<T>& X) {
    constexpr T kEpsilon = T(1e-5);
    const VectorOf<T> mean = X.rowwise().mean();
    Normalized result{X.colwise() - mean, {}};
    result.scale = (result.rows.array().square().rowwise().mean() + kEpsilon).rsqrt();
    result.rows = result.scale.asDiagonal() * result.rows;
    return result;
  }

  VectorOf<T> weight_;
  VectorOf<T> bias_;
  VectorOf<T> weight_gradient_;
  VectorOf<T> bias_gradient_;
};

}  // namespace examples
