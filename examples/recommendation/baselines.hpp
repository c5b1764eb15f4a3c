// SPDX-License-Identifier: Apache-2.0
// Recommenders without attention: what everybody takes, what was taken together with the items of
// the history, and what was taken right after the last of them.
#pragma once

#include <Eigen/SparseCore>
#include <cmath>
#include <span>
#include <vector>

#include "../support/matrix.hpp"

namespace examples {

using Histories = std::vector<std::span<const Index>>;

/// How many users took each item.
inline Vector popularity(const Histories& histories, Index items) {
  Vector counts = Vector::Zero(items);
  for (const auto& history : histories)
    for (const Index item : history) counts(item) += 1;
  return counts;
}

/// Scores by the cosine between items, each the vector of the users who took it, summed over the
/// history: s_i = sum_j n_ij / sqrt(n_i n_j). Source: Sarwar et al. 2001, section 3.1.1, for
/// choices without grades.
class CoOccurrence {
 public:
  CoOccurrence(const Histories& histories, Index items)
      : takers_(static_cast<Index>(histories.size()), items) {
    const Vector counts = popularity(histories, items);
    std::vector<Eigen::Triplet<float>> entries;
    for (std::size_t u = 0; u < histories.size(); ++u)
      for (const Index item : histories[u])
        entries.emplace_back(static_cast<Index>(u), item, 1 / std::sqrt(counts(item)));
    takers_.setFromTriplets(entries.begin(), entries.end());
  }

  Vector scores(std::span<const Index> known) const {
    Vector sum_of_known = Vector::Zero(takers_.rows());
    for (const Index item : known) sum_of_known += takers_.col(item);
    return takers_.transpose() * sum_of_known;
  }

 private:
  Eigen::SparseMatrix<float, Eigen::ColMajor, Index> takers_;  // users x items, columns of norm 1
};

/// Scores by how often an item came right after the last one of the history; the order of the items
/// before does not matter to it. What was never seen there is ordered by popularity.
class LastItem {
 public:
  LastItem(const Histories& histories, Index items)
      : after_(items, items), popularity_(popularity(histories, items)) {
    std::vector<Eigen::Triplet<float>> entries;
    for (const auto& history : histories)
      for (std::size_t t = 0; t + 1 < history.size(); ++t)
        entries.emplace_back(history[t + 1], history[t], 1.f);
    after_.setFromTriplets(entries.begin(), entries.end());
    popularity_ /= 1 + popularity_.sum();  // below any count
  }

  Vector scores(std::span<const Index> known) const {
    Vector scores = popularity_;
    scores += after_.col(known.back());
    return scores;
  }

 private:
  Eigen::SparseMatrix<float, Eigen::ColMajor, Index> after_;  // next x last
  Vector popularity_;
};

}  // namespace examples
