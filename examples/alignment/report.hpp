// SPDX-License-Identifier: Apache-2.0
// What a run has found out: tables, JSON, the chart of accuracy by length, and the page of
// alignments.
#pragma once

#include <attn/attn.hpp>
#include <nlohmann/json.hpp>
#include <ostream>
#include <string>
#include <vector>

#include "../support/console_table.hpp"
#include "../support/line_chart.hpp"
#include "../support/training_loop.hpp"
#include "evaluation.hpp"
#include "pair_data.hpp"

namespace examples {

struct ModelResult {
  std::string name;
  Evaluation evaluation;
  TrainingSummary training;
  Index parameters = 0;
};

struct Report {
  Units units;
  std::vector<Item> items;  // that the models were judged on
  std::vector<ModelResult> models;
};

inline void print_results(std::ostream& out, const Report& report) {
  ConsoleTable table({"model", "exact match %", "token errors %", "parameters", "training s"});
  for (const ModelResult& model : report.models) {
    const Score score = model.evaluation.score();
    table.add({model.name, fixed(100 * score.exact_match(), 2), fixed(100 * score.error_rate(), 2),
               std::to_string(model.parameters), fixed(model.training.seconds, 1)});
  }
  out << '\n';
  table.print(out);
}

/// The exact matches of each model, a row a range of source lengths.
inline void print_by_length(std::ostream& out, const Report& report) {
  std::vector<std::string> head = {"source tokens", "items"};
  for (const ModelResult& model : report.models) head.push_back(model.name + " %");
  ConsoleTable table(std::move(head));
  for (const LengthRange& range : length_ranges(report.items)) {
    std::vector<std::string> row = {
        std::to_string(range.first) + " to " + std::to_string(range.last), ""};
    if (range.first == range.last) row[0] = std::to_string(range.first);
    for (const ModelResult& model : report.models) {
      const Score score = score_in(model.evaluation, range);
      row[1] = std::to_string(score.count);
      row.push_back(fixed(100 * score.exact_match(), 1));
    }
    table.add(std::move(row));
  }
  out << "\nExact matches by the length of the source:\n\n";
  table.print(out);
}

inline nlohmann::json metrics_json(const Report& report) {
  nlohmann::json json = {{"test_items", report.items.size()}, {"models", nlohmann::json::array()}};
  for (const ModelResult& model : report.models) {
    const Score score = model.evaluation.score();
    nlohmann::json lengths = nlohmann::json::array();
    for (const LengthRange& range : length_ranges(report.items)) {
      const Score part = score_in(model.evaluation, range);
      lengths.push_back({{"first", range.first},
                         {"last", range.last},
                         {"items", part.count},
                         {"exact_match", part.exact_match()},
                         {"error_rate", part.error_rate()}});
    }
    json["models"].push_back({{"name", model.name},
                              {"exact_match", score.exact_match()},
                              {"error_rate", score.error_rate()},
                              {"parameters", model.parameters},
                              {"epochs", model.training.epochs},
                              {"train_seconds", model.training.seconds},
                              {"interrupted", model.training.interrupted},
                              {"by_length", std::move(lengths)}});
  }
  return json;
}

/// The share of exact matches over the length of the source, as Bahdanau et al. 2015 draw it in
/// figure 2. A range of few items says nothing and is left out.
inline LineChart length_chart(const Report& report) {
  constexpr std::size_t kFewest = 10;
  const bool words = report.units.source == Unit::kWords;
  LineChart chart{.label = "exact matches over the length of the source",
                  .x_label = std::string("source length, ") + (words ? "words" : "characters"),
                  .y_label = "exact matches, %",
                  .curves = {},
                  .highest = 100,
                  .decimals = 0};
  for (std::size_t m = report.models.size(); m-- > 0;) {
    const ModelResult& model = report.models[m];
    ChartCurve curve{m == 0 ? "second" : "first", model.name, {}};
    for (const LengthRange& range : length_ranges(report.items)) {
      const Score score = score_in(model.evaluation, range);
      if (score.count < kFewest) continue;
      const double exact = 100 * score.exact_match();
      curve.points.push_back({static_cast<double>(range.first + range.last) / 2, exact,
                              model.name + ", length " + std::to_string(range.first) + " to " +
                                  std::to_string(range.last) + ": " + fixed(exact, 1) + " % of " +
                                  std::to_string(score.count)});
    }
    chart.curves.push_back(std::move(curve));
  }
  return chart;
}

}  // namespace examples
