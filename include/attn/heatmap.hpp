// SPDX-License-Identifier: Apache-2.0
// `heatmap_html`: attention to look at, as one HTML file that needs nothing but itself.
//
//     HeatmapPage -> checks -> a card a map -> legend of what occurs -> one document
//
// heatmap_page.hpp holds the values to fill in, engine/heatmap_cards.hpp and heatmap_regions.hpp
// the cards, engine/heatmap_style.hpp looks and tooltips.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <iterator>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include <attn/config.hpp>
#include <attn/engine/heatmap_alignment.hpp>
#include <attn/engine/heatmap_cards.hpp>
#include <attn/engine/heatmap_check.hpp>
#include <attn/engine/heatmap_regions.hpp>
#include <attn/engine/heatmap_style.hpp>
#include <attn/heatmap_page.hpp>
#include <attn/html.hpp>

ATTN_BEGIN_NAMESPACE
namespace engine::heatmap {

/// What occurs on a page and has to be explained.
struct Legend {
  bool has_marks = false;
  bool has_tokens = false;
  bool has_marked_tokens = false;
  bool has_alignments = false;
  bool has_regions = false;
  bool has_truth = false;
  bool has_odd = false;  // NaN or inf

  void include(const explain::TokenHeatmap& map) {
    has_tokens = true;
    has_marked_tokens = has_marked_tokens || !map.marked.empty();
    include_common(map);
  }
  void include(const explain::AlignmentHeatmap& map) {
    has_alignments = true;
    include_common(map);
  }
  void include(const explain::RegionHeatmap& map) {
    has_truth = has_truth || map.truth.has_value();
    has_regions = true;
    include_common(map);
  }

  std::string html(const explain::HeatmapPage& page) const {
    std::string html = "<div class=\"legend\"><span>0";
    // A ramp for each kind, since words and images bear less colour than empty cells.
    if (has_tokens) html += " <span class=\"ramp words\"></span>";
    if (has_alignments) html += " <span class=\"ramp\"></span>";
    if (has_regions) html += " <span class=\"ramp image\"></span>";
    html += " full shade: the largest weight of its map</span>";
    if (has_marked_tokens)
      html += std::string("<span class=\"key\">") + escape_html(page.marked) + "</span>";
    if (has_truth)
      html +=
          std::string("<span><i class=\"swatch truth\"></i>") + escape_html(page.truth) + "</span>";
    if (has_regions)
      html += "<span><i class=\"swatch strongest\"></i>region of largest weight</span>";
    if (has_odd) html += "<span><i class=\"swatch odd\"></i>not a finite number</span>";
    return html +
           "<span class=\"faint\">Numbers: pointer, tap, or Tab and arrow keys</span></div>\n";
  }

 private:
  void include_common(const auto& map) {
    has_marks = has_marks || map.mark != explain::Mark::none;
    for (Index k = 0; k < map.weights.size(); ++k)
      has_odd = has_odd || !std::isfinite(map.weights[k]);
  }
};

// Radio buttons before <main>: the style sheet filters, no script does.
inline constexpr std::string_view kMarkFilter =
    "<input class=\"choice\" type=\"radio\" name=\"show\" id=\"all\" checked>"
    "<input class=\"choice\" type=\"radio\" name=\"show\" id=\"onlyright\">"
    "<input class=\"choice\" type=\"radio\" name=\"show\" id=\"onlywrong\">\n"
    "<nav class=\"choices\"><label for=\"all\">all</label>"
    "<label for=\"onlyright\">&#10003; right</label>"
    "<label for=\"onlywrong\">&#10007; wrong</label></nav>\n";

}  // namespace engine::heatmap

namespace explain {

/// A page of weights as one self-contained HTML file: no network, light and dark as the reader's
/// system is, one hue whose lightness carries the weight, the numbers of every cell at pointer, tap
/// and keyboard (without scripts as titles), a filter where maps are marked right or wrong.
///
/// Every cell is an element of class `cell` with its weight in `data-weight`. A shade is the weight
/// relative to the largest of its map (of its head). "Times an even share": the weight relative to
/// the mean of its sequence, of its query's row, of its image.
///
/// Params      page   see HeatmapPage; the maps stand in the order given
/// Empty       a map without weights is a card without cells
/// Non-finite  NaN and inf are hatched, and change no shade but their own
/// Cost        about 120 bytes a cell; images are stored, 4/3 of their bytes
/// Throws      ShapeError for counts that do not fit and boxes outside their image, ValueError for
///             negative weights; before anything is written
/// Example     examples/heatmap/main.cpp
inline std::string heatmap_html(const HeatmapPage& page) {
  engine::heatmap::Legend legend;
  for (std::size_t k = 0; k < page.maps.size(); ++k) {
    std::visit(
        [&](const auto& map) {
          engine::heatmap::check_map(engine::heatmap::Place(k, map.title), map);
          legend.include(map);
        },
        page.maps[k]);
  }
  std::string body = std::string("<h1>") + escape_html(page.title) + "</h1>\n";
  for (const std::string& paragraph : page.intro)
    body += std::string("<p class=\"faint\">") + escape_html(paragraph) + "</p>\n";
  body += legend.html(page);
  if (legend.has_marks) body += engine::heatmap::kMarkFilter;
  body += "<main>\n";
  for (const Heatmap& map : page.maps)
    body += std::visit([](const auto& kind) { return engine::heatmap::card(kind); }, map);
  body += "</main>\n";
  body += engine::heatmap::kScript;
  return html_page(page.title, engine::heatmap::kStyle, body);
}

/// A page of one map.
inline std::string heatmap_html(Heatmap map) {
  HeatmapPage page;
  page.maps.push_back(std::move(map));
  return heatmap_html(page);
}

/// A page of one sequence: its tokens shaded by one weight each.
inline std::string heatmap_html(std::vector<std::string> tokens, Weights weights) {
  return heatmap_html(TokenHeatmap{.tokens = std::move(tokens), .weights = std::move(weights)});
}

/// A page of one alignment: weights n_q x n_k, or several heads of that shape below one another.
inline std::string heatmap_html(std::vector<std::string> queries, std::vector<std::string> keys,
                                Weights weights) {
  const Index n_q = std::ssize(queries);
  const bool has_heads = n_q > 0 && weights.rows() > n_q && weights.rows() % n_q == 0;
  const Index heads = has_heads ? weights.rows() / n_q : 1;
  return heatmap_html(AlignmentHeatmap{.queries = std::move(queries),
                                       .keys = std::move(keys),
                                       .weights = std::move(weights),
                                       .heads = heads});
}

/// A page of one image: weights r x c over it as an even grid.
inline std::string heatmap_html(Image image, Weights weights) {
  return heatmap_html(RegionHeatmap{.image = std::move(image), .weights = std::move(weights)});
}

}  // namespace explain
ATTN_END_NAMESPACE
