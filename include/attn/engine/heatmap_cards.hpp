// SPDX-License-Identifier: Apache-2.0
// The cards of a page of weights: what all have, and sequences of tokens.
//
//     weight -> shade = weight / largest of its map -> class "cell", data-weight, --a, title
//
// Next: heatmap_alignment.hpp, heatmap_regions.hpp.
#pragma once

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include <attn/config.hpp>
#include <attn/heatmap_page.hpp>
#include <attn/html.hpp>

ATTN_BEGIN_NAMESPACE
namespace engine::heatmap {

using explain::escape_html;

inline constexpr std::chars_format fixed = std::chars_format::fixed;
inline constexpr std::chars_format scientific = std::chars_format::scientific;
inline constexpr std::chars_format general = std::chars_format::general;

/// A number as printf would write it with %.<digits>f, e or g, with a point in every locale: style
/// sheets and scripts read no other.
inline std::string number_text(std::chars_format format, int digits, double value) {
  std::array<char, 64> text;
  const auto written = std::to_chars(text.data(), text.data() + text.size(), value, format, digits);
  return {text.data(), written.ptr};
}

/// Four decimals, or three digits where those would not show it.
inline std::string weight_text(double weight) {
  if (!std::isfinite(weight)) return std::isnan(weight) ? "NaN" : "inf";
  const bool is_plain = weight == 0 || (weight >= 0.001 && weight < 1e6);
  return is_plain ? number_text(fixed, 4, weight) : number_text(scientific, 2, weight);
}

/// The weights that are compared with one another: a sequence, a head of an alignment, the regions
/// of an image. Shades are relative to the largest, NaN and inf left out.
struct Scale {
  double largest = 0;

  void include(double weight) {
    if (std::isfinite(weight)) largest = std::max(largest, weight);
  }
  double shade(double weight) const {
    return largest > 0 && std::isfinite(weight) ? weight / largest : 0;
  }
};

/// What a weight is to an even share of its neighbours' sum: of the sequence, of the query's row.
class EvenShare {
 public:
  void include(double weight) {
    sum_ += weight;
    ++count_;
  }
  /// The line below the weight; none where the sum is 0 or not a number.
  std::string times(double weight) const {
    if (!(sum_ > 0) || !std::isfinite(sum_)) return {};
    const double times = weight / sum_ * static_cast<double>(count_);
    return "\n" + (times < 10 ? number_text(general, 2, times) : number_text(fixed, 0, times)) +
           " times an even share";
  }

 private:
  double sum_ = 0;
  Index count_ = 0;
};

/// A token as a label or in quotes shows it: white space and nothing at all can be seen.
inline std::string visible_token(std::string_view token) {
  if (token.empty()) return "\xE2\x88\x85";  // the empty set
  if (token.find_first_not_of(" \t\n\r") != std::string_view::npos) return std::string(token);
  std::string visible;
  for (const char c : token)
    visible += c == ' ' ? "\xE2\x90\xA3" : c == '\t' ? "\xE2\x87\xA5" : "\xE2\x8F\x8E";
  return visible;
}

/// Class, weight, shade and tooltip of a cell: the inside of its tag.
inline std::string cell_attributes(double weight, const Scale& scale, std::string_view tooltip,
                                   std::string_view further_class = {},
                                   std::string_view further_style = {}) {
  std::string tag = "class=\"cell";
  if (!std::isfinite(weight)) tag += " odd";
  tag += further_class;
  tag += std::string("\" data-weight=\"") + number_text(general, 6, weight);
  tag += std::string("\" style=\"--a:") + number_text(general, 3, scale.shade(weight));
  tag += further_style;
  tag += std::string("\" title=\"") + escape_html(tooltip) + "\"";
  return tag;
}

/// What the fullest shade of a map stands for.
inline std::string full_shade_note(const std::string& weight) {
  return "<span class=\"full\">full shade = " + weight + "</span>";
}

/// A card: mark, title, captions, what it shows.
inline std::string framed(const auto& map, const std::string& beside_title,
                          const std::string& body) {
  const bool is_right = map.mark == explain::Mark::right;
  std::string html = "<article class=\"card";
  if (map.mark != explain::Mark::none) html += is_right ? " right" : " wrong";
  html += "\">\n<header>";
  if (map.mark != explain::Mark::none) {
    html += std::string("<span class=\"mark\">") +
            (is_right ? "&#10003; right" : "&#10007; wrong") + "</span>";
  }
  if (!map.title.empty()) html += std::string("<h2>") + escape_html(map.title) + "</h2>";
  html += beside_title + "</header>\n";
  for (const std::string& caption : map.captions)
    html += std::string("<p class=\"caption\">") + escape_html(caption) + "</p>\n";
  return html + body + "</article>\n";
}

/// The attributes of what holds the cells of one map, which the keyboard can enter.
inline std::string map_attributes(std::string_view kind, Index columns, const std::string& label) {
  return std::string("class=\"map ") + std::string(kind) + "\" data-columns=\"" +
         std::to_string(columns) + "\" tabindex=\"0\" aria-label=\"" + escape_html(label) + "\"";
}

inline std::string card(const explain::TokenHeatmap& map) {
  Scale scale;
  EvenShare share;
  for (Index i = 0; i < map.weights.size(); ++i) {
    scale.include(map.weights[i]);
    share.include(map.weights[i]);
  }
  std::vector<bool> marked(map.tokens.size(), false);
  for (const Index token : map.marked) marked[static_cast<std::size_t>(token)] = true;
  const std::string count = std::to_string(map.tokens.size());

  std::string body = std::string("<p ") +
                     map_attributes("tokens", 1, count + " tokens and their weights") +
                     " role=\"group\" dir=\"auto\">";
  for (std::size_t i = 0; i < map.tokens.size(); ++i) {
    const double weight = map.weights[static_cast<Index>(i)];
    if (!map.between.empty())
      body += escape_html(map.between[i]);
    else if (i > 0)
      body += ' ';
    const std::string token = visible_token(map.tokens[i]);
    const std::string tooltip = weight_text(weight) + "\n\"" + token + "\", index " +
                                std::to_string(i) + " of " + count + share.times(weight);
    const std::string_view key = marked[i] ? " key" : "";
    body += std::string("<span ") + cell_attributes(weight, scale, tooltip, key) + ">" +
            escape_html(token) + "</span>";
  }
  if (!map.between.empty()) body += escape_html(map.between.back());
  return framed(map, full_shade_note(weight_text(scale.largest)), body + "</p>\n");
}

}  // namespace engine::heatmap
ATTN_END_NAMESPACE
