// SPDX-License-Identifier: Apache-2.0
// The area under the receiver operating characteristic: how often a positive example has a higher
// score than a negative one, ties counting half.
//
//     AUC = (sum of the ranks of the positives - P (P + 1) / 2) / (P N), equal scores sharing ranks
//
// Source: Hanley and McNeil 1982; Mann and Whitney 1947 for the statistic.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <numeric>
#include <span>
#include <vector>

#include "matrix.hpp"

namespace examples {

/// Labels are 1 for positive and 0 for negative. 1/2 where one of the two kinds is missing.
/// A score that is not a number counts as lower than any other.
inline double area_under_curve(std::span<const double> given, std::span<const Index> labels) {
  std::vector<double> scores(given.begin(), given.end());
  for (double& score : scores)
    if (std::isnan(score)) score = -std::numeric_limits<double>::infinity();
  std::vector<std::size_t> order(scores.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(),
            [&](std::size_t a, std::size_t b) { return scores[a] < scores[b]; });
  double ranks = 0, positives = 0;
  for (std::size_t first = 0, end = 0; first < order.size(); first = end) {
    while (end < order.size() && !(scores[order[first]] < scores[order[end]])) ++end;
    const double shared = static_cast<double>(first + 1 + end) / 2;  // ranks first + 1 to end
    for (std::size_t i = first; i < end; ++i) {
      if (labels[order[i]] == 0) continue;
      ranks += shared;
      ++positives;
    }
  }
  const double negatives = static_cast<double>(scores.size()) - positives;
  if (positives == 0 || negatives == 0) return 0.5;
  return (ranks - positives * (positives + 1) / 2) / (positives * negatives);
}

}  // namespace examples
