// SPDX-License-Identifier: Apache-2.0
// The cards of a page of weights: what all have, sequences of tokens, and tables of alignments.
//
//     weight -> shade = weight / largest of its map -> class "cell", data-weight, --a, title
//
// Regions of images: heatmap_regions.hpp.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

#include <attn/config.hpp>
#include <attn/heatmap_page.hpp>
#include <attn/html.hpp>

ATTN_BEGIN_NAMESPACE
namespace engine::heatmap {

using explain::escape_html;

/// A number as `format` of printf says.
inline std::string number_text(const char* format, double value) {
  std::array<char, 64> text;
  std::snprintf(text.data(), text.size(), format, value);
  return text.data();
}

/// Four decimals, or three digits where those would not show it.
inline std::string weight_text(double weight) {
  if (!std::isfinite(weight)) return std::isnan(weight) ? "NaN" : "inf";
  return number_text(weight == 0 || (weight >= 0.001 && weight < 1e6) ? "%.4f" : "%.2e", weight);
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
    return "\n" + number_text(times < 10 ? "%.2g" : "%.0f", times) + " times an even share";
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
  tag += "\" data-weight=\"" + number_text("%.6g", weight);
  tag += "\" style=\"--a:" + number_text("%.3g", scale.shade(weight));
  tag += further_style;
  tag += "\" title=\"" + escape_html(tooltip) + "\"";
  return tag;
}

/// What the darkest (at night: the lightest) shade stands for.
inline std::string full_shade(const Scale& scale) {
  return "<span class=\"full\">full shade = " + weight_text(scale.largest) + "</span>";
}

/// The frame of a card: mark, title, captions, what it shows.
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
  if (!map.title.empty()) html += "<h2>" + escape_html(map.title) + "</h2>";
  html += beside_title + "</header>\n";
  for (const std::string& caption : map.captions)
    html += "<p class=\"caption\">" + escape_html(caption) + "</p>\n";
  return html + body + "</article>\n";
}

/// The attributes of what holds the cells of one map, which the keyboard can enter.
inline std::string map_attributes(std::string_view kind, Index columns, const std::string& label) {
  return "class=\"map " + std::string(kind) + "\" data-columns=\"" + std::to_string(columns) +
         "\" tabindex=\"0\" aria-label=\"" + escape_html(label) + "\"";
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

  std::string body = "<p " + map_attributes("tokens", 1, count + " tokens and their weights") +
                     " role=\"group\" dir=\"auto\">";
  for (std::size_t i = 0; i < map.tokens.size(); ++i) {
    const double weight = map.weights[static_cast<Index>(i)];
    if (!map.between.empty())
      body += escape_html(map.between[i]);
    else if (i > 0)
      body += ' ';
    const std::string tooltip = weight_text(weight) + "\n\"" + visible_token(map.tokens[i]) +
                                "\", token " + std::to_string(i) + " of " + count +
                                share.times(weight);
    const std::string_view key = marked[i] ? " key" : "";
    const std::string shown = map.tokens[i].empty() ? visible_token("") : map.tokens[i];
    body += "<span " + cell_attributes(weight, scale, tooltip, key) + ">" + escape_html(shown) +
            "</span>";
  }
  if (!map.between.empty()) body += escape_html(map.between.back());
  return framed(map, full_shade(scale), body + "</p>\n");
}

/// One head of an alignment as a table.
class AlignmentTable {
 public:
  AlignmentTable(const explain::AlignmentHeatmap& map, Index head)
      : map_(map), n_q_(map.weights.rows() / map.heads), first_row_(head * n_q_) {
    for (Index i = 0; i < n_q_; ++i) {
      for (Index j = 0; j < n_k(); ++j) scale_.include(weight(i, j));
    }
  }

  const Scale& scale() const { return scale_; }

  std::string html() const {
    std::string table = "<table " + attributes() + ">\n";
    if (has_labels()) table += head_row();
    table += "<tbody>\n";
    for (Index i = 0; i < n_q_; ++i) table += row(i);
    return table + "</tbody></table>\n";
  }

 private:
  // A page shows about 40 rem; cells that would be smaller than letters leave the labels out.
  static constexpr double kWidth = 640, kLargestCell = 28, kSmallestCell = 3, kSmallestLabel = 9;

  Index n_k() const { return map_.weights.cols(); }
  double weight(Index i, Index j) const { return map_.weights(first_row_ + i, j); }
  double cell_size() const {
    const auto longest = static_cast<double>(std::max<Index>({n_q_, n_k(), 1}));
    return std::clamp(std::floor(kWidth / longest), kSmallestCell, kLargestCell);
  }
  bool has_labels() const { return cell_size() >= kSmallestLabel; }

  static std::string label(const std::vector<std::string>& labels, Index k) {
    return labels.empty() ? std::to_string(k) : visible_token(labels[static_cast<std::size_t>(k)]);
  }
  /// Labels of more than two characters stand upright above their columns.
  bool has_long_keys() const {
    for (Index j = 0; j < n_k(); ++j) {
      const std::string text = label(map_.keys, j);
      const auto starts = std::count_if(text.begin(), text.end(), [](char c) {
        return (static_cast<unsigned char>(c) & 0xC0u) != 0x80u;
      });
      if (starts > 2) return true;
    }
    return false;
  }

  std::string attributes() const {
    const double size = cell_size();
    std::string attributes =
        map_attributes(has_long_keys() ? "alignment upright" : "alignment", n_k(),
                       std::to_string(n_q_) + " rows (" + map_.query_name + ") by " +
                           std::to_string(n_k()) + " columns (" + map_.key_name + ")");
    attributes += " style=\"--cell:" + number_text("%g", size) +
                  "px;--letters:" + number_text("%g", std::min(size, 13.)) +
                  "px;--gap:" + (has_labels() ? "1px" : "0px") + "\"";
    return attributes;
  }

  std::string head_row() const {
    std::string row = "<thead><tr><th class=\"axes\">" + escape_html(map_.query_name) + " \\ " +
                      escape_html(map_.key_name) + "</th>";
    for (Index j = 0; j < n_k(); ++j)
      row += "<th scope=\"col\">" + escape_html(label(map_.keys, j)) + "</th>";
    return row + "</tr></thead>\n";
  }

  std::string row(Index i) const {
    EvenShare share;
    for (Index j = 0; j < n_k(); ++j) share.include(weight(i, j));
    const std::string query = map_.query_name + " " + place(map_.queries, i) + "\n";
    std::string row = "<tr>";
    if (has_labels()) row += "<th scope=\"row\">" + escape_html(label(map_.queries, i)) + "</th>";
    for (Index j = 0; j < n_k(); ++j) {
      const std::string tooltip = weight_text(weight(i, j)) + "\n" + query + map_.key_name + " " +
                                  place(map_.keys, j) + share.times(weight(i, j));
      row += "<td " + cell_attributes(weight(i, j), scale_, tooltip) + "></td>";
    }
    return row + "</tr>\n";
  }
  static std::string place(const std::vector<std::string>& labels, Index k) {
    return labels.empty() ? std::to_string(k)
                          : "\"" + label(labels, k) + "\" (" + std::to_string(k) + ")";
  }

  const explain::AlignmentHeatmap& map_;
  Index n_q_;
  Index first_row_;
  Scale scale_;
};

inline std::string card(const explain::AlignmentHeatmap& map) {
  if (map.heads == 1) {
    const AlignmentTable table(map, 0);
    return framed(map, full_shade(table.scale()),
                  "<div class=\"panels\"><figure>" + table.html() + "</figure></div>\n");
  }
  std::string panels = "<div class=\"panels\">\n";
  for (Index head = 0; head < map.heads; ++head) {
    const AlignmentTable table(map, head);
    panels += "<figure><figcaption>head " + std::to_string(head) + " " + full_shade(table.scale()) +
              "</figcaption>" + table.html() + "</figure>\n";
  }
  return framed(map, "", panels + "</div>\n");
}

}  // namespace engine::heatmap
ATTN_END_NAMESPACE
