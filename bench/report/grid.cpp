// SPDX-License-Identifier: Apache-2.0
// Forward on every size from one query to thousands, against the faster of two plain versions.
//
// All three return a matrix, as one writes it: no workspace, no output that exists already. Medians
// of all rounds count.
#include "grid.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <string>

#include "baseline/plain_eigen.hpp"
#include "forward_call.hpp"

namespace bench::report {
namespace {

Cell measure_cell(Index n, Index d, const Settings& settings, Grid& grid) {
  const Problem<float> p(n, d);
  MatrixX<float> attn, textbook, row_max;
  const Race result = race({[&] { attn = attn::attention(p.Q, p.K, p.V); },
                            [&] { textbook = plain_eigen::textbook(p.Q, p.K, p.V); },
                            [&] { row_max = plain_eigen::row_max(p.Q, p.K, p.V); }},
                           probes<float>(settings), settings);
  grid.peak = std::max(grid.peak, result.peak());
  grid.product = std::max(grid.product, result.product());
  const double error =
      std::max({forward_error(attn, p), forward_error(textbook, p), forward_error(row_max, p)});
  const auto times_of = [&](std::size_t plain) {
    return result.median_of([=](const Turns& t) { return t.seconds[0] / t.seconds[plain]; });
  };
  return {n,
          d,
          result.seconds(0),
          result.seconds(1),
          result.seconds(2),
          std::max(times_of(1), times_of(2)),
          error};
}

void measure(Row& row, const Settings& settings, Grid& grid) {
  Settings of_cell = settings;
  of_cell.seconds = settings.seconds / 10;
  for (const Index d : {4, 8, 16, 32, 64, 80, 128, 256})
    for (const Index n : {1, 2, 3, 5, 8, 16, 32, 64, 128, 512, 2048}) {
      if (n > settings.n(n)) continue;
      grid.cells.push_back(measure_cell(n, d, of_cell, grid));
    }
  const auto worst =
      std::max_element(grid.cells.begin(), grid.cells.end(),
                       [](const Cell& a, const Cell& b) { return a.ratio < b.ratio; });
  double error = 0;
  for (const Cell& cell : grid.cells) error = std::max(error, cell.error);
  row.wrong = !(error <= settings.tolerance);
  row.numbers["error"] = error;
  row.numbers["peak_gflops"] = grid.peak / 1e9;
  row.numbers["eigen_product_gflops"] = grid.product / 1e9;
  if (!row.wrong) row.value = worst->ratio;
  const auto slower = std::count_if(grid.cells.begin(), grid.cells.end(),
                                    [](const Cell& cell) { return cell.ratio > 1.05; });
  row.note = "worst at " + size_words(worst->n, worst->d) + "; " + std::to_string(slower) + " of " +
             std::to_string(grid.cells.size()) + " cells above 1.05";
}

}  // namespace

Plan grid_plan(Grid& grid) {
  return {Row{"any size", "n = 1 .. 2048, d = 4 .. 256", "of the time of plain Eigen", Unit::ratio,
              at_most(1.05, 0.7)},
          [&grid](Row& row, const Settings& settings) { measure(row, settings, grid); }};
}

}  // namespace bench::report
