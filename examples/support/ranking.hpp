// SPDX-License-Identifier: Apache-2.0
// How well a list of suggestions is ordered, where one candidate is the right one: hit rate and
// NDCG among the first k.
//
//     hit rate@k = mean of [rank <= k],   NDCG@k = mean of [rank <= k] / log2(1 + rank)
//
// Candidates with equal scores have no order: the mean over all their orders counts, so that a
// model that knows nothing gets what chance gives and no more.
// Source: Jarvelin and Kekalainen 2002 for NDCG; with one right candidate the ideal gain is 1.
#pragma once

#include <algorithm>
#include <cmath>

#include "matrix.hpp"

namespace examples {

struct Rank {
  Index better = 0;  // candidates with a higher score than the right one
  Index equal = 0;   // others with the same score
};

/// `scores` has a number a candidate; -inf leaves one out, which must not be the right one.
template <typename Scores>
Rank rank_of(const Scores& scores, Index right) {
  const auto score = scores(right);
  return {.better = (scores.array() > score).count(),
          .equal = (scores.array() == score).count() - 1};
}

class RankingMetrics {
 public:
  explicit RankingMetrics(Index k) : k_(k) {}

  void add(const Rank& rank) {
    const double share = 1 / static_cast<double>(rank.equal + 1);
    for (Index at = rank.better + 1; at <= std::min(rank.better + rank.equal + 1, k_); ++at) {
      hits_ += share;
      gain_ += share / std::log2(1 + static_cast<double>(at));
    }
    ++count_;
  }

  Index count() const { return count_; }
  /// 0 when there was no question.
  double hit_rate() const { return mean(hits_); }
  double ndcg() const { return mean(gain_); }

 private:
  double mean(double sum) const { return count_ == 0 ? 0 : sum / static_cast<double>(count_); }

  Index k_;
  Index count_ = 0;
  double hits_ = 0;
  double gain_ = 0;
};

}  // namespace examples
