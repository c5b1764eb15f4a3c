// SPDX-License-Identifier: Apache-2.0
// A vector a token number, all of them differentiated: for alphabets and small vocabularies
// (embedding.hpp is for tables so large that a batch should touch only its own rows).
//
//     X_i = E[token_i]
#pragma once

#include <span>
#include <string>
#include <vector>

#include "matrix.hpp"
#include "parameter.hpp"
#include "random.hpp"

namespace examples {

template <typename T>
class TokenTable {
 public:
  TokenTable(Index tokens, Index dimension, Random& random)
      : table_(random.normal_matrix(tokens, dimension, 1).template cast<T>()),
        gradient_(MatrixOf<T>::Zero(tokens, dimension)) {}

  MatrixOf<T> forward(std::span<const Index> tokens) const {
    MatrixOf<T> X(static_cast<Index>(tokens.size()), table_.cols());
    for (Index i = 0; i < X.rows(); ++i) X.row(i) = table_.row(tokens[static_cast<std::size_t>(i)]);
    return X;
  }

  /// Overwrites the gradient.
  void backward(std::span<const Index> tokens, const MatrixOf<T>& dX) {
    gradient_.setZero();
    for (Index i = 0; i < dX.rows(); ++i)
      gradient_.row(tokens[static_cast<std::size_t>(i)]) += dX.row(i);
  }

  void append_parameters(std::vector<BasicParameter<T>>& parameters, const std::string& name) {
    parameters.push_back(parameter(name, table_, gradient_));
  }

 private:
  MatrixOf<T> table_;
  MatrixOf<T> gradient_;
};

}  // namespace examples
