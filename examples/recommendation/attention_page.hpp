// SPDX-License-Identifier: Apache-2.0
// attention.html: histories with their items shaded by the attention of the state that foretells
// the next item, and what was recommended.
#pragma once

#include <algorithm>
#include <attn/attn.hpp>
#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "../support/console_table.hpp"
#include "../support/matrix.hpp"
#include "../support/ranking.hpp"
#include "catalogue.hpp"
#include "evaluation.hpp"
#include "made_up_catalogue.hpp"
#include "recommender.hpp"

namespace examples {

inline std::string listed_titles(const Catalogue& catalogue, const std::vector<Index>& items) {
  std::string list;
  for (std::size_t i = 0; i < items.size(); ++i)
    list += (i == 0 ? "" : ";  ") + std::to_string(i + 1) + ". " +
            catalogue.titles[static_cast<std::size_t>(items[i])];
  return list;
}

/// The weights of the items that the model looks at, the latest `context` of a history.
inline attn::explain::TokenHeatmap history_heatmap(const Catalogue& catalogue,
                                                   const Recommender<float>& model,
                                                   std::span<const Index> known) {
  const Vector weights = model.attention(known);
  attn::explain::TokenHeatmap map;
  map.weights = weights;
  for (const Index item : known.last(static_cast<std::size_t>(weights.size())))
    map.tokens.push_back(catalogue.titles[static_cast<std::size_t>(item)]);
  map.between.assign(map.tokens.size() + 1, " \xC2\xB7 ");
  map.between.front() = map.between.back() = "";
  return map;
}

/// A card a user, for users from all over the judged ones.
inline std::string attention_page(const Split& split, const Recommender<float>& model,
                                  const RankingMetrics& result, bool is_made_up) {
  constexpr std::size_t kShown = 24;
  const Catalogue& catalogue = split.catalogue();
  const auto questions = split.test();
  std::vector<std::size_t> users;
  std::vector<Split::Question> shown;
  for (std::size_t i = 0; i < std::min(kShown, questions.size()); ++i) {
    users.push_back(i * questions.size() / std::min(kShown, questions.size()));
    shown.push_back(questions[users.back()]);
  }
  attn::explain::HeatmapPage page{
      .title = "What a recommender looks at",
      .intro = {"Histories of " + std::to_string(shown.size()) + " of " +
                    std::to_string(result.count()) +
                    " users, the oldest item first, each shaded by the attention of the state that "
                    "foretells the next one (last block, mean over its heads).",
                "Right: the item that came next is among the ten recommended, as it is for " +
                    fixed(100 * result.hit_rate(), 1) + " % of all users."},
      .marked = "latest item of its genre, which decides"};
  for_each_scored(model, shown, [&](std::size_t i, const auto& scores) {
    const Split::Question& question = shown[i];
    const Rank rank = rank_of(scores, question.next);
    attn::explain::TokenHeatmap map = history_heatmap(catalogue, model, question.known);
    map.title = "User " + catalogue.histories[split.judged()[users[i]]].user;
    map.captions = {"Recommended: " + listed_titles(catalogue, best_items(scores, kListed)),
                    "Came next: " + catalogue.titles[static_cast<std::size_t>(question.next)] +
                        ", place " + std::to_string(rank.better + 1) + " of the recommendation"};
    if (is_made_up)
      map.marked = MadeUpCatalogue::deciding_places(question.known.last(map.tokens.size()));
    map.mark = rank.better < kListed ? attn::explain::Mark::right : attn::explain::Mark::wrong;
    page.maps.push_back(std::move(map));
  });
  return attn::explain::heatmap_html(page);
}

}  // namespace examples
