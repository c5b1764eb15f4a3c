// SPDX-License-Identifier: Apache-2.0
// A table of vectors whose weighted sums describe tokens; only the rows that a batch touches are
// read, differentiated and updated.
//
//     x_i = sum_f  weight_f  E[row_f]
#pragma once

#include <cstddef>
#include <span>
#include <utility>
#include <vector>

#include "matrix.hpp"
#include "parameter.hpp"

namespace examples {

/// One row of the table with the weight that it has in a token's vector.
struct Feature {
  Index row = 0;
  float weight = 1;
};

class Embedding {
 public:
  explicit Embedding(Matrix table)
      : table_(std::move(table)),
        gradient_(Matrix::Zero(table_.rows(), table_.cols())),
        is_touched_(static_cast<std::size_t>(table_.rows()), false) {}

  Index dimension() const { return table_.cols(); }
  const Matrix& table() const { return table_; }

  /// Adds the weighted sum of the rows of `features` to `x`, a row of `dimension()` numbers.
  template <typename Row>
  void add_to(Row&& x, std::span<const Feature> features) const {
    for (const Feature& feature : features) x += feature.weight * table_.row(feature.row);
  }

  /// The derivative of `add_to`.
  template <typename Row>
  void add_gradient(const Row& dx, std::span<const Feature> features) {
    for (const Feature& feature : features) {
      touch(feature.row);
      gradient_.row(feature.row) += feature.weight * dx;
    }
  }

  /// Forgets the gradient in the time that it took to gather it, not in that of the whole table.
  void clear_gradient() {
    for (const Index row : touched_) {
      gradient_.row(row).setZero();
      is_touched_[static_cast<std::size_t>(row)] = false;
    }
    touched_.clear();
  }

  Parameter parameter(std::string name) {
    return examples::parameter(std::move(name), table_, gradient_, &touched_);
  }
  /// With a gradient in every row, zero where no batch touched it.
  Parameter dense_parameter(std::string name) {
    return examples::parameter(std::move(name), table_, gradient_);
  }

 private:
  void touch(Index row) {
    if (is_touched_[static_cast<std::size_t>(row)]) return;
    is_touched_[static_cast<std::size_t>(row)] = true;
    touched_.push_back(row);
  }

  Matrix table_;
  Matrix gradient_;
  std::vector<bool> is_touched_;
  std::vector<Index> touched_;
};

}  // namespace examples
