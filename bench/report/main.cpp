// SPDX-License-Identifier: Apache-2.0
// The benchmark report: what attn must reach, with what it reaches on this machine.
//
//     cmake --build build --target benchmark_report
//     attn_report --only 'forward|decode' --json report.json --svg report.svg
//
// A value is a ratio of calls that took turns in this process, mostly that of the best of five
// repetitions (race.hpp). Every result is checked against attn::reference before it is timed. A
// wrong result makes the program fail; a row that misses its goal is marked and does not.
#include <fstream>
#include <iostream>
#include <iterator>
#include <regex>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include "grid.hpp"
#include "json.hpp"
#include "keep_heap.hpp"
#include "machine.hpp"
#include "picture.hpp"
#include "rows.hpp"
#include "table.hpp"
#include "timing.hpp"

namespace bench::report {
namespace {

struct Options {
  Settings settings;
  std::string only, json, svg;
};

std::vector<Plan> all_plans(Grid& grid) {
  std::vector<Plan> plans;
  for (const auto rows : {forward_rows, avx2_rows, mask_rows, modifier_rows, additive_rows,
                          backward_rows, decode_rows, thread_rows}) {
    std::vector<Plan> more = rows();
    plans.insert(plans.end(), std::make_move_iterator(more.begin()),
                 std::make_move_iterator(more.end()));
  }
  plans.push_back(grid_plan(grid));
  for (Plan& plan : compile_rows()) plans.push_back(std::move(plan));
  return plans;
}

void print_title(const Settings& settings) {
  std::cout << processor_name() << ", " << instruction_set() << ", " << compiler_name() << '\n';
  if (settings.quick)
    std::cout << "QUICK: sizes are at most 48, so these values say nothing about speed\n";
  if (settings.cpu_time) std::cout << "Times are processor times, those of two threads excepted\n";
  std::cout << '\n';
}

bool write_file(const std::string& path, const std::string& text) {
  if (path.empty()) return true;
  std::ofstream file(path);
  file << text;
  file.close();
  if (!file) std::cerr << "attn_report: cannot write " << path << '\n';
  return static_cast<bool>(file);
}

/// Measures and prints the rows that are asked for.
std::vector<Row> measure(const Options& options, Grid& grid) {
  const std::regex pattern(options.only);
  std::vector<Row> rows;
  for (Plan& plan : all_plans(grid)) {
    if (!std::regex_search(plan.row.name(), pattern)) continue;
    plan.measure(plan.row, options.settings);
    print_row(std::cout, plan.row);
    rows.push_back(std::move(plan.row));
  }
  return rows;
}

int report(const Options& options) {
  const double start = now();
  print_title(options.settings);
  print_head(std::cout);
  Grid grid;
  const std::vector<Row> rows = measure(options, grid);
  int misses = 0, wrong = 0, unmeasured = 0;
  for (const Row& row : rows) {
    const Verdict v = verdict(row);
    misses += v == Verdict::misses;
    wrong += v == Verdict::wrong;
    unmeasured += v == Verdict::unmeasured;
  }
  std::cout << '\n'
            << rows.size() << " rows: " << misses << " miss their goal, " << wrong << " are wrong, "
            << unmeasured << " not measured; " << int(now() - start) << " seconds\n";
  if (rows.empty()) {
    std::cerr << "attn_report: no row matches " << options.only << '\n';
    return 2;
  }
  bool written = write_file(options.json, to_json(rows, grid, options.settings).dump(2) + "\n");
  if (!grid.cells.empty())
    written = write_file(options.svg, picture(grid)) && written;
  else if (!options.svg.empty())
    std::cerr << "attn_report: no picture, which needs the row `any size`\n";
  return written && wrong == 0 ? 0 : 1;
}

}  // namespace
}  // namespace bench::report

int main(int argc, char** argv) {
  bench::keep_heap();
  bench::report::Options options;
  CLI::App app{"What attn must reach, with what it reaches on this machine"};
  app.add_flag("--quick", options.settings.quick, "Tiny sizes: tries the report, measures nothing");
  app.add_option("--only", options.only, "Rows whose name contains this regular expression");
  app.add_option("--json", options.json, "File to write the report to as JSON");
  app.add_option("--svg", options.svg, "File to write the picture to");
  app.add_option("--seconds", options.settings.seconds, "Seconds spent on a row")
      ->capture_default_str();
  app.add_flag("--cpu-time", options.settings.cpu_time,
               "Time by the thread's processor time, on a machine that is busy with other work");
  app.add_option("--tolerance", options.settings.tolerance,
                 "Largest error of a result, as a multiple of what its summation allows")
      ->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  if (options.settings.quick) {
    options.settings.seconds = 0;
    options.settings.least = 2;
  }
  try {
    return bench::report::report(options);
  } catch (const std::regex_error&) {
    std::cerr << "attn_report: --only " << options.only << " is no regular expression\n";
    return 2;
  }
}
