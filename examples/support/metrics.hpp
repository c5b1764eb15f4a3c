// SPDX-License-Identifier: Apache-2.0
// Accuracy and macro-F1 from a confusion matrix.
//
//     F1_c = 2 TP_c / (2 TP_c + FP_c + FN_c),   macro-F1 = mean of F1_c over the classes
#pragma once

#include <Eigen/Core>
#include <span>

#include "matrix.hpp"

namespace examples {

class Confusion {
 public:
  explicit Confusion(Index classes) : counts_(Counts::Zero(classes, classes)) {}

  void add(Index truth, Index prediction) { ++counts_(truth, prediction); }

  void add(std::span<const Index> truth, std::span<const Index> predictions) {
    for (std::size_t i = 0; i < truth.size(); ++i) add(truth[i], predictions[i]);
  }

  void add(const Confusion& other) { counts_ += other.counts_; }

  Index total() const { return counts_.sum(); }

  /// Share of right answers; 0 when there was no question.
  double accuracy() const {
    return total() == 0 ? 0.0 : static_cast<double>(counts_.trace()) / static_cast<double>(total());
  }

  /// A class that occurs neither as truth nor as prediction says nothing and is left out.
  double macro_f1() const {
    double sum = 0;
    Index occurring = 0;
    for (Index c = 0; c < counts_.rows(); ++c) {
      const Index marked = counts_.row(c).sum() + counts_.col(c).sum();
      if (marked == 0) continue;
      sum += 2.0 * static_cast<double>(counts_(c, c)) / static_cast<double>(marked);
      ++occurring;
    }
    return occurring == 0 ? 0.0 : sum / static_cast<double>(occurring);
  }

 private:
  using Counts = Eigen::Matrix<Index, Eigen::Dynamic, Eigen::Dynamic>;
  Counts counts_;  // truth x prediction
};

}  // namespace examples
