// SPDX-License-Identifier: Apache-2.0
// What a run has found out, as a table and as JSON.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <ostream>
#include <string>
#include <vector>

#include "../support/console_table.hpp"
#include "../support/matrix.hpp"
#include "../support/training_loop.hpp"
#include "pointing.hpp"

namespace examples {

struct ModelResult {
  std::string name;
  double accuracy = 0;
  std::optional<Pointing> pointing{};  // of a model with regions
  Index parameters = 0;
  std::optional<TrainingSummary> training{};  // of a model that was not loaded
};

struct Report {
  std::vector<ModelResult> models;  // the chosen one first
  Index tested = 0;
  double box_share = 0;  // of the canvas

  double chance() const { return models.front().pointing->chance(); }
};

inline void print_table(std::ostream& out, const Report& report) {
  const auto percent = [](double share) { return fixed(100 * share, 2); };
  ConsoleTable table({"model", "accuracy %", "error %", "pointing %", "attention on it %",
                      "parameters", "training s"});
  for (const ModelResult& model : report.models) {
    const bool cut = model.training && model.training->interrupted;
    table.add({model.name + (cut ? " (interrupted)" : ""), percent(model.accuracy),
               percent(1 - model.accuracy),
               model.pointing ? percent(model.pointing->accuracy()) : "-",
               model.pointing ? percent(model.pointing->attention_inside()) : "-",
               std::to_string(model.parameters),
               model.training ? fixed(model.training->seconds, 1) : "-"});
  }
  out << "\nTest set: " << report.tested << " canvases\n";
  table.print(out);
  out << "\nPointing: the region with the highest weight has its centre inside the object's box. "
         "Chance: "
      << percent(report.chance()) << " % (the box is " << percent(report.box_share)
      << " % of the canvas).\n";
}

inline nlohmann::json metrics_json(const Report& report) {
  nlohmann::json json = {{"models", nlohmann::json::array()},
                         {"chance", report.chance()},
                         {"box_share", report.box_share},
                         {"test_canvases", report.tested}};
  for (const ModelResult& model : report.models) {
    nlohmann::json entry = {{"name", model.name},
                            {"accuracy", model.accuracy},
                            {"pointing_accuracy", nullptr},
                            {"attention_in_box", nullptr},
                            {"parameters", model.parameters}};
    if (model.pointing) {
      entry["pointing_accuracy"] = model.pointing->accuracy();
      entry["attention_in_box"] = model.pointing->attention_inside();
    }
    if (model.training) {
      entry["epochs"] = model.training->epochs;
      entry["train_seconds"] = model.training->seconds;
      entry["interrupted"] = model.training->interrupted;
    }
    json["models"].push_back(entry);
  }
  return json;
}

}  // namespace examples
