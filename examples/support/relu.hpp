// SPDX-License-Identifier: Apache-2.0
// The rectifier: y = max(x, 0), and its derivative told by y alone.
#pragma once

#include "matrix.hpp"

namespace examples {

template <typename T>
void relu(MatrixOf<T>& X) {
  X = X.cwiseMax(T(0));
}

/// Turns the gradient by Y = relu(X) into that by X.
template <typename T>
void relu_backward(const MatrixOf<T>& Y, MatrixOf<T>& gradient) {
  gradient = (Y.array() > T(0)).select(gradient, T(0));
}

}  // namespace examples
