// SPDX-License-Identifier: Apache-2.0
// What was found, as a table for the console and as JSON.
#pragma once

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <numeric>
#include <ostream>
#include <string>
#include <vector>

#include "../support/console_table.hpp"
#include "../support/interrupt.hpp"
#include "experiment.hpp"

namespace examples {

inline double mean_of(const std::vector<double>& numbers) {
  if (numbers.empty()) return 0;
  return std::accumulate(numbers.begin(), numbers.end(), 0.0) / static_cast<double>(numbers.size());
}

/// Of the numbers themselves, with n - 1; 0 where there is one.
inline double deviation_of(const std::vector<double>& numbers) {
  if (numbers.size() < 2) return 0;
  const double mean = mean_of(numbers);
  double square = 0;
  for (const double number : numbers) square += (number - mean) * (number - mean);
  return std::sqrt(square / static_cast<double>(numbers.size() - 1));
}

/// "0.953 +- 0.012", or the mean alone where there is one number.
inline std::string spread_text(const std::vector<double>& numbers) {
  const std::string mean = fixed(mean_of(numbers), 3);
  return numbers.size() < 2 ? mean : mean + " +- " + fixed(deviation_of(numbers), 3);
}

inline void print_findings(std::ostream& out, const Findings& findings) {
  std::vector<std::string> head{"AUC"}, hits{"highest weight hits"};
  std::vector<std::vector<std::string>> rows;
  std::vector<Index> columns;
  for (const Outcome& outcome : findings.outcomes) {
    if (columns.empty() || columns.back() != outcome.bags) {
      columns.push_back(outcome.bags);
      head.push_back(std::to_string(outcome.bags) + " bags");
    }
    const std::string name = pooling_name(outcome.pooling);
    auto row = std::find_if(rows.begin(), rows.end(),
                            [&](const auto& other) { return other.front() == name; });
    if (row == rows.end()) row = rows.insert(rows.end(), {name});
    row->push_back(spread_text(outcome.auc));
    if (!outcome.hit_rates.empty()) hits.push_back(spread_text(outcome.hit_rates));
  }
  ConsoleTable table(head);
  for (std::vector<std::string>& row : rows) {
    row.resize(head.size());
    table.add(row);
  }
  hits.resize(head.size());
  table.add(hits);
  out << '\n';
  table.print(out);
  out << "\nChance that an image drawn from a positive bag hits: " << fixed(findings.chance, 3)
      << '\n';
}

/// Rates and areas are fractions of 1.
inline nlohmann::json metrics_json(const Findings& findings) {
  nlohmann::json models = nlohmann::json::array();
  for (const Outcome& outcome : findings.outcomes) {
    nlohmann::json model = {
        {"name", pooling_name(outcome.pooling)}, {"bags", outcome.bags},
        {"auc", mean_of(outcome.auc)},           {"auc_deviation", deviation_of(outcome.auc)},
        {"repetitions", outcome.auc.size()},     {"train_seconds", outcome.seconds}};
    if (!outcome.hit_rates.empty()) model["hit_rate"] = mean_of(outcome.hit_rates);
    models.push_back(std::move(model));
  }
  return {{"models", std::move(models)},
          {"chance_of_hit", findings.chance},
          {"test_bags", findings.test_bags.size()},
          {"interrupted", interrupted()}};
}

}  // namespace examples
