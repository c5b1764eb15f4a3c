// SPDX-License-Identifier: Apache-2.0
// attention.html: test texts with their words shaded by attention, right and wrong answers marked.
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "../support/console_table.hpp"
#include "../support/html.hpp"
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

inline constexpr std::string_view kPageStyle = R"(
:root {
  --page: #f6f5f2; --card: #ffffff; --text: #22252b; --faint: #6b7078; --edge: #dedcd6;
  --heat: 232 119 34; --most: .85; --right: #1a7f4b; --wrong: #c0322b;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #16181d; --card: #1f2229; --text: #e6e4df; --faint: #9a9fa8; --edge: #343842;
    --heat: 255 140 50; --most: .55; --right: #4cc38a; --wrong: #ff7b72;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0 auto; max-width: 56rem; padding: 2.5rem 1.25rem 4rem;
  background: var(--page); color: var(--text);
  font: 1rem/1.6 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif;
}
h1 { margin: 0 0 .25rem; font-size: 1.6rem; line-height: 1.25; }
p { margin: .25rem 0; }
.faint { color: var(--faint); }
.legend {
  display: flex; flex-wrap: wrap; align-items: center; gap: .6rem;
  margin: 1.2rem 0; font-size: .9rem;
}
.ramp {
  width: 9rem; height: .9rem; border: 1px solid var(--edge); border-radius: .3rem;
  background: linear-gradient(to right, rgb(var(--heat) / 0), rgb(var(--heat) / var(--most)));
}
.choice { position: absolute; opacity: 0; }
.choices { display: flex; gap: .5rem; margin-bottom: 1.2rem; font-size: .9rem; }
.choices label {
  padding: .2rem .8rem; border: 1px solid var(--edge); border-radius: 2rem; cursor: pointer;
}
#all:checked ~ .choices [for=all], #onlyright:checked ~ .choices [for=onlyright],
#onlywrong:checked ~ .choices [for=onlywrong] {
  background: var(--text); border-color: var(--text); color: var(--page);
}
#all:focus-visible ~ .choices [for=all], #onlyright:focus-visible ~ .choices [for=onlyright],
#onlywrong:focus-visible ~ .choices [for=onlywrong] { outline: 2px solid rgb(var(--heat)); }
#onlyright:checked ~ .texts .wrong, #onlywrong:checked ~ .texts .right { display: none; }
.card {
  margin: 0 0 .9rem; padding: .8rem 1.1rem 1rem; background: var(--card);
  border: 1px solid var(--edge); border-left: .3rem solid var(--right); border-radius: .5rem;
}
.card.wrong { border-left-color: var(--wrong); }
.card header { display: flex; flex-wrap: wrap; gap: .2rem .8rem; font-size: .85rem; }
.mark { font-weight: 600; color: var(--right); }
.wrong .mark { color: var(--wrong); }
.card p { margin: .4rem 0 0; font-size: 1.08rem; line-height: 1.9; overflow-wrap: anywhere; }
.w {
  position: relative; padding: .12em .1em; border-radius: .25em; cursor: default;
  background: rgb(var(--heat) / calc(var(--a) * var(--most)));
}
.key { text-decoration: underline dotted; text-underline-offset: .3em; }
.w:hover { outline: 1px solid rgb(var(--heat)); }
)";

inline bool is_key(const ShownText& shown, std::size_t token) {
  const auto& keys = shown.key_tokens;
  return std::find(keys.begin(), keys.end(), token) != keys.end();
}

/// Shading relative to the largest weight of the text: the eye compares words of one text.
inline std::string shaded_text(const ShownText& shown) {
  const float largest =
      shown.weights.empty()
          ? 1
          : std::max(*std::max_element(shown.weights.begin(), shown.weights.end()), 1e-6f);
  std::string html;
  std::size_t at = 0;
  const std::string_view text = shown.text;
  for (std::size_t i = 0; i < shown.tokens.size(); ++i) {
    const Token& token = shown.tokens[i];
    const auto weight = static_cast<double>(shown.weights[i]);
    const double share = weight * static_cast<double>(shown.tokens.size());
    html += escape_html(text.substr(at, token.begin - at));
    html += std::string("<span class=\"w") + (is_key(shown, i) ? " key" : "") +
            "\" style=\"--a:" + fixed(weight / static_cast<double>(largest), 3) +
            "\" title=\"attention " + fixed(weight, 3) + ", " + fixed(share, 1) +
            " times an even share\">";
    html += escape_html(text.substr(token.begin, token.end - token.begin)) + "</span>";
    at = token.end;
  }
  return html + escape_html(text.substr(at));
}

inline std::string text_card(const ShownText& shown) {
  const bool right = shown.is_right();
  std::string html = std::string("<article class=\"card ") + (right ? "right" : "wrong") +
                     "\">\n<header><span class=\"mark\">" +
                     (right ? "&#10003; right" : "&#10007; wrong") + "</span>";
  html += "<span>predicted <b>" + escape_html(shown.prediction) + "</b> (" +
          fixed(100 * shown.probability, 1) + " %)</span>";
  if (!right) html += "<span>is <b>" + escape_html(shown.truth) + "</b></span>";
  return html + "</header>\n<p>" + shaded_text(shown) + "</p>\n</article>\n";
}

/// The whole page; the wrong answers come first, since they teach most.
inline std::string attention_page(const PageHead& head, std::span<const ShownText> texts) {
  std::string cards;
  for (const bool right : {false, true}) {
    for (const ShownText& shown : texts) {
      if (shown.is_right() == right) cards += text_card(shown);
    }
  }
  const bool has_keys = std::any_of(
      texts.begin(), texts.end(), [](const ShownText& shown) { return !shown.key_tokens.empty(); });
  const std::string body =
      "<h1>What the classifier looks at</h1>\n<p class=\"faint\">Model <b>" +
      escape_html(head.model) + "</b>: " + fixed(100 * head.accuracy, 2) + " % of " +
      std::to_string(head.tested) + " test texts right; " + std::to_string(texts.size()) +
      " of them are shown.</p>\n<div class=\"legend\"><span>no attention</span>"
      "<span class=\"ramp\"></span><span>most attention in the text</span>"
      "<span class=\"faint\">" +
      std::string(has_keys ? "<span class=\"key\">planted key word</span> " : "") +
      "(rest the pointer on a word for its weight)</span></div>\n"
      "<input class=\"choice\" type=\"radio\" name=\"show\" id=\"all\" checked>"
      "<input class=\"choice\" type=\"radio\" name=\"show\" id=\"onlyright\">"
      "<input class=\"choice\" type=\"radio\" name=\"show\" id=\"onlywrong\">\n"
      "<nav class=\"choices\"><label for=\"all\">all</label><label for=\"onlyright\">&#10003; right"
      "</label><label for=\"onlywrong\">&#10007; wrong</label></nav>\n<main class=\"texts\">\n" +
      cards + "</main>\n";
  return html_page("Attention of a text classifier", kPageStyle, body);
}

}  // namespace examples
