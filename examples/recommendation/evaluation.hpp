// SPDX-License-Identifier: Apache-2.0
// Hit rate and NDCG among all items that the user has not had: no drawn sample of them, which would
// make every figure look better than it is (Krichene and Rendle 2020).
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <span>
#include <vector>

#include "../support/matrix.hpp"
#include "../support/ranking.hpp"
#include "catalogue.hpp"
#include "history_batch.hpp"
#include "recommender.hpp"

namespace examples {

inline constexpr Index kListed = 10;  // the k of hit rate@k and NDCG@k

/// What the user has had is not recommended again.
template <typename Scores>
void leave_out(Scores&& scores, std::span<const Index> known) {
  for (const Index item : known) scores(item) = -std::numeric_limits<float>::infinity();
}

/// f(question, its scores) for each question, several at once through the model.
template <typename F>
void for_each_scored(const Recommender<float>& model, const std::vector<Split::Question>& questions,
                     const F& f) {
  constexpr std::size_t kAtOnce = 128;
  for (std::size_t first = 0; first < questions.size(); first += kAtOnce) {
    const std::size_t count = std::min(kAtOnce, questions.size() - first);
    HistoryBatch batch;
    for (std::size_t i = 0; i < count; ++i)
      batch.add(questions[first + i].known, model.shape().context);
    Matrix scores = model.scores(batch);
    for (std::size_t i = 0; i < count; ++i) {
      auto row = scores.row(static_cast<Index>(i));
      leave_out(row, questions[first + i].known);
      f(first + i, row);
    }
  }
}

inline RankingMetrics judge(const Recommender<float>& model,
                            const std::vector<Split::Question>& questions) {
  RankingMetrics metrics(kListed);
  for_each_scored(model, questions, [&](std::size_t i, const auto& scores) {
    metrics.add(rank_of(scores, questions[i].next));
  });
  return metrics;
}

/// `scores_of(known items)`: a number an item.
template <typename ScoresOf>
RankingMetrics judge_baseline(const std::vector<Split::Question>& questions,
                              const ScoresOf& scores_of) {
  RankingMetrics metrics(kListed);
  for (const Split::Question& question : questions) {
    Vector scores = scores_of(question.known);
    leave_out(scores, question.known);
    metrics.add(rank_of(scores, question.next));
  }
  return metrics;
}

/// The numbers of the `count` items with the highest scores, the best first; fewer where fewer are
/// left. Equal scores keep the order of the items.
template <typename Scores>
std::vector<Index> best_items(const Scores& scores, Index count) {
  std::vector<Index> items;
  for (Index i = 0; i < scores.size(); ++i)
    if (std::isfinite(scores(i))) items.push_back(i);
  const auto kept = std::min(items.size(), static_cast<std::size_t>(count));
  std::partial_sort(
      items.begin(), items.begin() + static_cast<std::ptrdiff_t>(kept), items.end(),
      [&](Index a, Index b) { return scores(a) > scores(b) || (scores(a) == scores(b) && a < b); });
  items.resize(kept);
  return items;
}

}  // namespace examples
