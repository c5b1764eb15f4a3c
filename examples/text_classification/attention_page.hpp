// SPDX-License-Identifier: Apache-2.0
// attention.html: test texts with their words shaded by attention, right and wrong answers marked.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <attn/heatmap.hpp>

#include "../support/console_table.hpp"
#include "../support/tokenizer.hpp"

namespace examples {

/// A classified text as the page shows it.
struct ShownText {
  std::string text;
  std::string truth;
  std::string prediction;
  double probability = 0;  // of the prediction
  std::vector<Token> tokens;
  std::vector<float> weights;
  std::vector<std::size_t> key_tokens{};  // that decide, where that is known

  bool is_right() const { return truth == prediction; }
};

struct PageHead {
  std::string model;
  std::size_t tested = 0;
  double accuracy = 0;
};

/// The text as it was written: tokens are its words and marks, and what lies between is kept.
inline attn::explain::TokenHeatmap heatmap_of(const ShownText& shown) {
  attn::explain::TokenHeatmap map{
      .weights = shown.weights,
      .marked = {shown.key_tokens.begin(), shown.key_tokens.end()},
      .title = "predicted " + shown.prediction + " (" + fixed(100 * shown.probability, 1) + " %)",
      .mark = shown.is_right() ? attn::explain::Mark::right : attn::explain::Mark::wrong};
  if (!shown.is_right()) map.captions = {"is " + shown.truth};
  const std::string_view text = shown.text;
  std::size_t at = 0;
  for (const Token& token : shown.tokens) {
    map.between.emplace_back(text.substr(at, token.begin - at));
    map.tokens.emplace_back(text.substr(token.begin, token.end - token.begin));
    at = token.end;
  }
  map.between.emplace_back(text.substr(at));
  return map;
}

/// The whole page; the wrong answers come first, since they teach most.
inline std::string attention_page(const PageHead& head, std::span<const ShownText> texts) {
  attn::explain::HeatmapPage page{
      .title = "What the classifier looks at",
      .intro = {"Model " + head.model + ": " + fixed(100 * head.accuracy, 2) + " % of " +
                std::to_string(head.tested) + " test texts right; " + std::to_string(texts.size()) +
                " of them are shown."},
      .marked = "planted key word"};
  for (const bool right : {false, true}) {
    for (const ShownText& shown : texts) {
      if (shown.is_right() == right) page.maps.emplace_back(heatmap_of(shown));
    }
  }
  return attn::explain::heatmap_html(page);
}

}  // namespace examples
