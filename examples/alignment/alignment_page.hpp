// SPDX-License-Identifier: Apache-2.0
// attention.html: what the decoder looked at for each token that it wrote, for some test items.
#pragma once

#include <attn/attn.hpp>
#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "../support/console_table.hpp"
#include "evaluation.hpp"
#include "pair_data.hpp"
#include "report.hpp"

namespace examples {

/// Up to `count` test items of each kind, right and wrong, in the order of their lengths, so that
/// short ones and long ones are among them. An empty translation has nothing to show.
inline std::vector<std::size_t> shown_items(const Evaluation& evaluation, std::size_t count) {
  std::vector<std::size_t> shown;
  for (const bool right : {true, false}) {
    std::vector<std::size_t> kind;
    for (std::size_t i = 0; i < evaluation.translations.size(); ++i) {
      const JudgedTranslation& judged = evaluation.translations[i];
      if ((judged.edits == 0) == right && !judged.tokens.empty()) kind.push_back(i);
    }
    std::stable_sort(kind.begin(), kind.end(), [&](std::size_t a, std::size_t b) {
      return evaluation.translations[a].source_length < evaluation.translations[b].source_length;
    });
    const std::size_t taken = std::min(count, kind.size());
    for (std::size_t k = 0; k < taken; ++k)
      shown.push_back(kind[(2 * k + 1) * kind.size() / (2 * taken)]);
  }
  return shown;
}

/// The page of a model with attention, the first of the report.
inline std::string alignment_page(const Report& report) {
  constexpr std::size_t kShown = 8;  // of the right ones, and of the wrong ones
  const ModelResult& model = report.models.front();
  const Score score = model.evaluation.score();
  attn::explain::HeatmapPage page{
      .title = "Alignments of a translator",
      .intro = {std::to_string(score.exact) + " of " + std::to_string(score.count) +
                    " test items (" + fixed(100 * score.exact_match(), 1) +
                    " %) are translated without an error.",
                "A row is a token that the decoder wrote, a column a token that it read; the shade "
                "is the weight with which it looked there."}};
  for (const std::size_t i : shown_items(model.evaluation, kShown)) {
    const JudgedTranslation& judged = model.evaluation.translations[i];
    const bool right = judged.edits == 0;
    attn::explain::AlignmentHeatmap map{.queries = judged.tokens,
                                        .keys = report.items[i].source,
                                        .weights = judged.weights,
                                        .query_name = "written",
                                        .key_name = "read"};
    map.title = join_tokens(report.items[i].source, report.units.source);
    map.captions.push_back(join_tokens(judged.tokens, report.units.target));
    if (!right)
      map.captions.push_back("right: " +
                             join_tokens(report.items[i].targets.front(), report.units.target));
    map.mark = right ? attn::explain::Mark::right : attn::explain::Mark::wrong;
    page.maps.push_back(std::move(map));
  }
  return attn::explain::heatmap_html(page);
}

}  // namespace examples
