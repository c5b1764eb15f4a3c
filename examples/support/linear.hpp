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

template <typename T>
class BasicLinear {
 public:
  /// Weights are drawn with variance 1 / inputs, so that outputs keep the scale of the inputs.
  BasicLinear(Index inputs, Index outputs, Random& random)
      : weight_(random.normal_matrix(outputs, inputs, 1 / std::sqrt(static_cast<float>(inputs)))
                    .template cast<T>()),
        bias_(VectorOf<T>::Zero(outputs)),
        weight_gradient_(MatrixOf<T>::Zero(outputs, inputs)),
        bias_gradient_(VectorOf<T>::Zero(outputs)) {}

  MatrixOf<T> forward(const MatrixOf<T>& X) const {
    MatrixOf<T> Y = X * weight_.transpose();
    Y.rowwise() += bias_.transpose();
    return Y;
  }

  /// Overwrites the parameters' gradients and returns dX.
  MatrixOf<T> backward(const MatrixOf<T>& X, const MatrixOf<T>& dY) {
    set_gradients(X, dY);
    return input_gradient(dY);
  }

  /// Its two halves, for a layer that goes back step by step and has its gradients in the end.
  MatrixOf<T> input_gradient(const MatrixOf<T>& dY) const { return dY * weight_; }
  void set_gradients(const MatrixOf<T>& X, const MatrixOf<T>& dY) {
    weight_gradient_.noalias() = dY.transpose() * X;
    bias_gradient_ = dY.colwise().sum().transpose();
  }

  void append_parameters(std::vector<BasicParameter<T>>& parameters, const std::string& prefix) {
    parameters.push_back(parameter(prefix + ".weight", weight_, weight_gradient_));
    parameters.push_back(parameter(prefix + ".bias", bias_, bias_gradient_));
  }

 private:
  MatrixOf<T> weight_;
  VectorOf<T> bias_;
  MatrixOf<T> weight_gradient_;
  VectorOf<T> bias_gradient_;
};
using Linear = BasicLinear<float>;

}  // namespace examples
