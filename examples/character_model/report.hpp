// SPDX-License-Identifier: Apache-2.0
// What a run has found out, as a table and as JSON. Losses are in nats a character.
#pragma once

#include <nlohmann/json.hpp>
#include <numbers>
#include <optional>
#include <ostream>
#include <span>
#include <string>
#include <vector>

#include "../support/console_table.hpp"
#include "ngram.hpp"
#include "training.hpp"

namespace examples {

/// A model and its mean loss on the validation text.
struct ModelLoss {
  std::string name;
  double loss = 0;
};

struct Report {
  std::vector<ModelLoss> models;  // the decoder first
  std::optional<double> best_loss;
  std::optional<TrainingSummary> training;
  Index parameters = 0;
  std::optional<double> tokens_per_second;
};

/// Models that see the last few characters only.
inline std::vector<ModelLoss> baselines(std::span<const Index> train,
                                        std::span<const Index> validation, Index characters) {
  std::vector<ModelLoss> models;
  for (const std::size_t order : {std::size_t{2}, std::size_t{3}, std::size_t{5}}) {
    const std::string name = order == 2 ? "bigram" : std::to_string(order) + "-gram";
    models.push_back({name, NgramModel(train, characters, order).mean_loss(validation)});
  }
  return models;
}

inline void print_table(std::ostream& out, const Report& report) {
  ConsoleTable table({"model", "nats/character", "bits/character"});
  const auto add = [&](const std::string& name, double loss) {
    table.add({name, fixed(loss, 4), fixed(loss / std::numbers::ln2, 4)});
  };
  for (const ModelLoss& model : report.models) add(model.name, model.loss);
  if (report.best_loss) add("best possible", *report.best_loss);
  out << '\n';
  table.print(out);
}

inline nlohmann::json metrics_json(const Report& report) {
  nlohmann::json json = {{"models", nlohmann::json::array()}, {"parameters", report.parameters}};
  for (const ModelLoss& model : report.models)
    json["models"].push_back({{"name", model.name}, {"validation_loss", model.loss}});
  if (report.best_loss) json["best_loss"] = *report.best_loss;
  if (report.tokens_per_second) json["tokens_per_second"] = *report.tokens_per_second;
  if (!report.training) return json;
  json["steps"] = report.training->steps;
  json["train_seconds"] = report.training->seconds;
  json["interrupted"] = report.training->interrupted;
  json["curve"] = nlohmann::json::array();
  for (const LossPoint& point : report.training->curve)
    json["curve"].push_back(
        {{"step", point.step}, {"train", point.train}, {"validation", point.validation}});
  return json;
}

}  // namespace examples
