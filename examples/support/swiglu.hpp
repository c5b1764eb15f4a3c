// SPDX-License-Identifier: Apache-2.0
// A gated layer of hidden features between two linear ones.
//
//     Y = (silu(G) * U) Wd^T + bd,   G = X Wg^T + bg,   U = X Wu^T + bu,   silu(g) = g / (1 + e^-g)
//
// Source: Shazeer 2020, eq. 6 (SwiGLU, there without the biases).
#pragma once

#include <string>
#include <vector>

#include "linear.hpp"
#include "matrix.hpp"
#include "parameter.hpp"
#include "random.hpp"

namespace examples {

template <typename T>
class SwiGlu {
 public:
  /// What backward needs, and the output.
  struct Forward {
    MatrixOf<T> input;
    MatrixOf<T> gate;
    MatrixOf<T> up;
    MatrixOf<T> hidden;
    MatrixOf<T> output;
  };

  SwiGlu(Index features, Index hidden, Random& random)
      : gate_(features, hidden, random),
        up_(features, hidden, random),
        down_(hidden, features, random) {}

  Forward forward(const MatrixOf<T>& X) const {
    Forward f{X, gate_.forward(X), up_.forward(X), {}, {}};
    f.hidden = f.gate.array() * sigmoid(f.gate).array() * f.up.array();
    f.output = down_.forward(f.hidden);
    return f;
  }

  /// Overwrites the parameters' gradients and returns dX.
  MatrixOf<T> backward(const Forward& f, const MatrixOf<T>& dY) {
    const MatrixOf<T> d_hidden = down_.backward(f.hidden, dY);
    const MatrixOf<T> s = sigmoid(f.gate);
    const MatrixOf<T> d_up = d_hidden.array() * f.gate.array() * s.array();
    // silu' = s + g s (1 - s)
    const MatrixOf<T> d_gate =
        d_hidden.array() * f.up.array() * s.array() * (1 + f.gate.array() * (1 - s.array()));
    return up_.backward(f.input, d_up) + gate_.backward(f.input, d_gate);
  }

  void append_parameters(std::vector<BasicParameter<T>>& parameters, const std::string& prefix) {
    gate_.append_parameters(parameters, prefix + ".gate");
    up_.append_parameters(parameters, prefix + ".up");
    down_.append_parameters(parameters, prefix + ".down");
  }

 private:
  static MatrixOf<T> sigmoid(const MatrixOf<T>& X) { return 1 / (1 + (-X.array()).exp()); }

  BasicLinear<T> gate_;
  BasicLinear<T> up_;
  BasicLinear<T> down_;
};

}  // namespace examples
