// SPDX-License-Identifier: Apache-2.0
// A linear layer: Y = X W^T + b, one example a row.
#pragma once

#include <cmath>
#include <string>
#include <vector>

#include "matrix.hpp"
#include "parameter.hpp"
#include "random.hpp"

namespace examples {

class Linear {
 public:
  /// Weights are drawn with variance 1 / inputs, so that outputs keep the scale of the inputs.
  Linear(Index inputs, Index outputs, Random& random)
      : weight_(random.normal_matrix(outputs, inputs, 1 / std::sqrt(static_cast<float>(inputs)))),
        bias_(Vector::Zero(outputs)),
        weight_gradient_(Matrix::Zero(outputs, inputs)),
        bias_gradient_(Vector::Zero(outputs)) {}

  Matrix forward(const Matrix& X) const {
    Matrix Y = X * weight_.transpose();
    Y.rowwise() += bias_.transpose();
    return Y;
  }

  /// Overwrites the parameters' gradients and returns dX.
  Matrix backward(const Matrix& X, const Matrix& dY) {
    weight_gradient_.noalias() = dY.transpose() * X;
    bias_gradient_ = dY.colwise().sum().transpose();
    return dY * weight_;
  }

  void append_parameters(std::vector<Parameter>& parameters, const std::string& prefix) {
    parameters.push_back(parameter(prefix + ".weight", weight_, weight_gradient_));
    parameters.push_back(parameter(prefix + ".bias", bias_, bias_gradient_));
  }

 private:
  Matrix weight_;
  Vector bias_;
  Matrix weight_gradient_;
  Vector bias_gradient_;
};

}  // namespace examples
