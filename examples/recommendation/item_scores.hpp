// SPDX-License-Identifier: Apache-2.0
// From states to scores of all items, and the loss over all of them with its gradients.
//
//     z_ti = h_t . e_i + b_i,   loss = sum_t w (log sum_i exp z_ti - z_t,next(t))
//
// e_i is the same vector that stands for item i in the input; b_i says how popular it is whoever
// asks. Items that the history has had by then cannot come next and are left out of the sum. Kang
// and McAuley 2018 train against one drawn item for each right one; all items at once is what the
// ranking asks for, and costs 6 d flops an item and state. The scores of all states together would
// be a matrix of hundreds of megabytes, so they are made, used and forgotten some rows at a time.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <span>

#include "../support/matrix.hpp"
#include "history_batch.hpp"

namespace examples {

/// Refers to the vectors of the items, a row each, and to their popularities.
template <typename T>
class ItemScores {
 public:
  ItemScores(const MatrixOf<T>& vectors, const VectorOf<T>& popularity)
      : vectors_(vectors), popularity_(popularity) {}

  struct Gradients {
    MatrixOf<T>& vectors;
    VectorOf<T>& popularity;
  };

  MatrixOf<T> scores(const Eigen::Ref<const MatrixOf<T>>& H) const {
    MatrixOf<T> Z = H * vectors_.transpose();
    Z.rowwise() += popularity_.transpose();
    return Z;
  }

  /// The loss of the states H of a batch whose predictions weigh `weight` each. Sets dH, and adds
  /// to the gradients of vectors and popularities.
  T loss(const MatrixOf<T>& H, const HistoryBatch& batch, T weight, MatrixOf<T>& dH,
         const Gradients& gradients) const {
    constexpr Index kRows = 128;  // times 7500 items is 4 MB of scores
    T loss = 0;
    dH.resize(H.rows(), H.cols());
    for (Index first = 0; first < H.rows(); first += kRows) {
      const Index rows = std::min(kRows, H.rows() - first);
      MatrixOf<T> Z = scores(H.middleRows(first, rows));
      leave_out_known(Z, batch, first);
      loss +=
          weight * to_gradient(Z, std::span(batch.next).subspan(static_cast<std::size_t>(first)));
      Z *= weight;
      dH.middleRows(first, rows).noalias() = Z * vectors_;
      gradients.vectors.noalias() += Z.transpose() * H.middleRows(first, rows);
      gradients.popularity += Z.colwise().sum().transpose();
    }
    return loss;
  }

 private:
  /// The scores of tokens first .. first + Z.rows() - 1 of the batch.
  static void leave_out_known(MatrixOf<T>& Z, const HistoryBatch& batch, Index first) {
    for (std::size_t b = 0; b + 1 < batch.offsets.size(); ++b) {
      const Index begin = batch.offsets[b];
      const Index end = std::min(batch.offsets[b + 1], first + Z.rows());
      for (Index t = std::max(begin, first); t < end; ++t)
        for (Index s = begin; s <= t; ++s)
          Z(t - first, batch.items[static_cast<std::size_t>(s)]) =
              -std::numeric_limits<T>::infinity();
    }
  }

  /// Turns scores into the gradient of the loss by them, and returns the loss.
  static T to_gradient(MatrixOf<T>& Z, std::span<const Index> next) {
    T loss = 0;
    for (Index t = 0; t < Z.rows(); ++t) {
      const Index right = next[static_cast<std::size_t>(t)];
      const T largest = Z.row(t).maxCoeff();
      const T score = Z(t, right);
      Z.row(t) = (Z.row(t).array() - largest).exp();
      const T sum = Z.row(t).sum();
      loss += largest + std::log(sum) - score;
      Z.row(t) /= sum;
      Z(t, right) -= 1;
    }
    return loss;
  }

  const MatrixOf<T>& vectors_;
  const VectorOf<T>& popularity_;
};

}  // namespace examples
