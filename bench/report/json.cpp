// SPDX-License-Identifier: Apache-2.0
// Rows, grid and machine as JSON, and a row back.
#include "json.hpp"

#include <string>
#include <thread>

#include "machine.hpp"

namespace bench::report {
namespace {

const char* unit_word(Unit unit) {
  return unit == Unit::share ? "share" : unit == Unit::ratio ? "ratio" : "seconds";
}

nlohmann::ordered_json machine_json() {
  return {
      {"processor", processor_name()},
      {"processors", std::thread::hardware_concurrency()},
      {"last_level_cache_bytes", last_level_cache_bytes()},
      {"memory_bytes", memory_bytes()},
      {"instruction_set", instruction_set()},
      {"compiler", compiler_name()},
      {"eigen", std::to_string(EIGEN_WORLD_VERSION) + "." + std::to_string(EIGEN_MAJOR_VERSION) +
                    "." + std::to_string(EIGEN_MINOR_VERSION)}};
}

nlohmann::ordered_json grid_json(const Grid& grid) {
  nlohmann::ordered_json cells = nlohmann::json::array();
  for (const Cell& c : grid.cells)
    cells.push_back({{"n", c.n},
                     {"d", c.d},
                     {"seconds", c.attn},
                     {"textbook_seconds", c.textbook},
                     {"row_max_seconds", c.row_max},
                     {"of_plain_eigen", c.ratio},
                     {"gflops", c.gflops(c.attn)},
                     {"error", c.error}});
  return {{"peak_gflops", grid.peak / 1e9},
          {"eigen_product_gflops", grid.product / 1e9},
          {"cells", cells}};
}

}  // namespace

nlohmann::ordered_json to_json(const Row& row) {
  nlohmann::ordered_json json{{"work", row.work},
                              {"what", row.what},
                              {"relative_to", row.of},
                              {"unit", unit_word(row.unit)},
                              {"value", nullptr},
                              {"must", row.goal.must},
                              {"aim", row.goal.aim},
                              {"better", row.goal.higher_is_better ? "higher" : "lower"},
                              {"verdict", in_words(verdict(row))},
                              {"wrong", row.wrong},
                              {"note", row.note},
                              {"measured", row.numbers}};
  if (row.value) json["value"] = *row.value;
  return json;
}

Row row_from_json(const nlohmann::json& json) {
  Row row;
  row.work = json.at("work");
  row.what = json.at("what");
  row.of = json.at("relative_to");
  if (!json.at("value").is_null()) row.value = json.at("value").get<double>();
  row.wrong = json.at("wrong");
  row.note = json.at("note");
  row.numbers = json.at("measured");
  return row;
}

nlohmann::ordered_json to_json(const std::vector<Row>& rows, const Grid& grid,
                               const Settings& settings) {
  nlohmann::ordered_json list = nlohmann::json::array();
  for (const Row& row : rows) list.push_back(to_json(row));
  return {{"quick", settings.quick},
          {"seconds_a_row", settings.seconds},
          {"clock", settings.cpu_time ? "processor time" : "wall"},
          {"machine", machine_json()},
          {"rows", list},
          {"grid", grid_json(grid)}};
}

}  // namespace bench::report
