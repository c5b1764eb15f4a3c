// SPDX-License-Identifier: Apache-2.0
// attention.html: canvases under the weights of their regions, wrong answers first.
#pragma once

#include <attn/heatmap.hpp>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "../support/console_table.hpp"
#include "shown_canvas.hpp"

namespace examples {
namespace detail {

inline attn::explain::RegionHeatmap region_heatmap(const ShownCanvas& shown) {
  using attn::explain::Mark;
  attn::explain::RegionHeatmap map{
      .image = {.rows = shown.image.rows,
                .cols = shown.image.columns,
                .bytes = {shown.image.pixels.begin(), shown.image.pixels.end()}},
      .weights = shown.weights,
      .title = "answer " + std::to_string(shown.answer) + " (" + fixed(100 * shown.confidence, 1) +
               " %)"};
  if (!shown.name.empty()) map.captions.push_back(shown.name);
  if (shown.box)
    map.truth = {shown.box->row, shown.box->column, shown.box->rows, shown.box->columns};
  if (shown.truth) {
    map.mark = shown.is_right() ? Mark::right : Mark::wrong;
    if (!shown.is_right()) map.captions.push_back("is " + std::to_string(*shown.truth));
  }
  return map;
}

}  // namespace detail

inline std::string attention_page(std::vector<std::string> intro,
                                  std::span<const ShownCanvas> canvases) {
  attn::explain::HeatmapPage page{.title = "Where the classifier looks",
                                  .intro = std::move(intro),
                                  .truth = "where the object is"};
  for (const ShownCanvas& shown : canvases) page.maps.push_back(detail::region_heatmap(shown));
  return attn::explain::heatmap_html(page);
}

}  // namespace examples
