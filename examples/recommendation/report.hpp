// SPDX-License-Identifier: Apache-2.0
// What a run has found out, as a table and as JSON.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <ostream>
#include <string>
#include <vector>

#include "../support/console_table.hpp"
#include "../support/ranking.hpp"
#include "../support/training_loop.hpp"
#include "baselines.hpp"
#include "catalogue.hpp"
#include "evaluation.hpp"
#include "made_up_catalogue.hpp"
#include "recommender.hpp"

namespace examples {

/// A recommender and how well it does on the validation and the test items.
struct Result {
  std::string name;
  RankingMetrics validation;
  RankingMetrics test;
};

/// How much of the attention lies on the items that decide, and how many of all items those are.
struct DecidingShare {
  double attention = 0;
  double items = 0;
};

struct Report {
  std::vector<Result> results;  // self-attention first
  std::optional<DecidingShare> share;
  std::optional<TrainingSummary> training;
  Index parameters = 0;
};

/// The model, recommenders without attention, and for the made-up catalogue the rule that it is
/// made by.
inline std::vector<Result> results_of(const Recommender<float>& model, const Split& split,
                                      bool is_made_up) {
  const auto validation = split.validation();
  const auto test = split.test();
  const auto training = split.training();
  const Index items = split.catalogue().items.size();
  std::vector<Result> results{{"self-attention", judge(model, validation), judge(model, test)}};
  const auto add = [&](const char* name, const auto& scores_of) {
    results.push_back(
        {name, judge_baseline(validation, scores_of), judge_baseline(test, scores_of)});
  };
  const Vector popular = popularity(training, items);
  const CoOccurrence together(training, items);
  const LastItem after(training, items);
  add("popularity", [&](std::span<const Index>) { return popular; });
  add("co-occurrence", [&](std::span<const Index> known) { return together.scores(known); });
  add("last item", [&](std::span<const Index> known) { return after.scores(known); });
  if (is_made_up) add("best possible", MadeUpCatalogue::scores_of_the_rule);
  return results;
}

/// For the made-up catalogue, in which it is known what decides: the mean over all test questions.
inline DecidingShare deciding_share(const Recommender<float>& model, const Split& split) {
  DecidingShare share;
  const auto questions = split.test();
  for (const Split::Question& question : questions) {
    const Vector weights = model.attention(question.known);
    const auto seen = question.known.last(static_cast<std::size_t>(weights.size()));
    const std::vector<Index> places = MadeUpCatalogue::deciding_places(seen);
    for (const Index place : places) share.attention += static_cast<double>(weights(place));
    share.items += static_cast<double>(places.size()) / static_cast<double>(seen.size());
  }
  share.attention /= static_cast<double>(questions.size());
  share.items /= static_cast<double>(questions.size());
  return share;
}

inline void print_table(std::ostream& out, const Report& report) {
  ConsoleTable table({"recommender", "HR@10 %", "NDCG@10 %"});
  for (const Result& result : report.results)
    table.add(
        {result.name, fixed(100 * result.test.hit_rate(), 2), fixed(100 * result.test.ndcg(), 2)});
  out << '\n';
  table.print(out);
  if (report.share)
    out << "\nShare of the attention on the latest item of each genre, which decides: "
        << fixed(100 * report.share->attention, 1) << " % (" << fixed(100 * report.share->items, 1)
        << " % of the items)\n";
}

inline nlohmann::json metrics_json(const Report& report) {
  nlohmann::json json = {{"models", nlohmann::json::array()}, {"parameters", report.parameters}};
  for (const Result& result : report.results)
    json["models"].push_back({{"name", result.name},
                              {"hit_rate", result.test.hit_rate()},
                              {"ndcg", result.test.ndcg()},
                              {"validation_hit_rate", result.validation.hit_rate()},
                              {"validation_ndcg", result.validation.ndcg()},
                              {"users", result.test.count()}});
  if (report.share)
    json["deciding_share"] = {{"attention", report.share->attention},
                              {"items", report.share->items}};
  if (!report.training) return json;
  json["epochs"] = report.training->epochs;
  json["train_seconds"] = report.training->seconds;
  json["interrupted"] = report.training->interrupted;
  return json;
}

}  // namespace examples
