// SPDX-License-Identifier: Apache-2.0
// The card of an alignment: a table a head, a row a query, a column a key.
//
// Labels stand beside the rows and above the columns while cells are no smaller than letters;
// beyond that the tooltips alone name them.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <string>
#include <vector>

#include <attn/config.hpp>
#include <attn/engine/heatmap_cards.hpp>
#include <attn/heatmap_page.hpp>

ATTN_BEGIN_NAMESPACE
namespace engine::heatmap {

/// The characters of UTF-8 text: continuation bytes are no characters of their own.
inline Index count_characters(const std::string& text) {
  return std::count_if(text.begin(), text.end(),
                       [](char c) { return (static_cast<unsigned char>(c) & 0xC0u) != 0x80u; });
}

class AlignmentTable {
 public:
  AlignmentTable(const explain::AlignmentHeatmap& map, Index head)
      : map_(map), n_q_(map.weights.rows() / map.heads), first_row_(head * n_q_) {
    for (Index i = 0; i < n_q_; ++i) {
      for (Index j = 0; j < n_k(); ++j) scale_.include(weight(i, j));
    }
  }

  std::string full_shade() const {
    return map_.by_row ? full_shade_note("the largest of each row")
                       : full_shade_note(weight_text(scale_.largest));
  }

  std::string html() const {
    std::string table = std::string("<table ") + attributes() + ">\n";
    if (has_labels()) table += head_row();
    table += "<tbody>\n";
    for (Index i = 0; i < n_q_; ++i) table += row(i);
    return table + "</tbody></table>\n";
  }

 private:
  // In pixels: what a page is wide, and what can be seen and pointed at.
  static constexpr double kWidth = 660, kLargestCell = 28, kSmallestCell = 3, kSmallestLabel = 9;
  static constexpr double kLargestLetters = 13;

  Index n_k() const { return map_.weights.cols(); }
  double weight(Index i, Index j) const { return map_.weights(first_row_ + i, j); }
  double cell_size() const {
    const auto longest = static_cast<double>(std::max<Index>({n_q_, n_k(), 1}));
    return std::clamp(std::floor(kWidth / longest), kSmallestCell, kLargestCell);
  }
  double letter_size() const { return std::min(cell_size(), kLargestLetters); }
  bool has_labels() const { return cell_size() >= kSmallestLabel; }

  static std::string label(const std::vector<std::string>& labels, Index k) {
    return labels.empty() ? std::to_string(k) : visible_token(labels[static_cast<std::size_t>(k)]);
  }
  /// Labels that are wider than their columns stand upright; a letter is 0.65 of its size wide.
  bool has_upright_keys() const {
    Index longest = 0;
    for (Index j = 0; j < n_k(); ++j)
      longest = std::max(longest, count_characters(label(map_.keys, j)));
    return 0.65 * letter_size() * static_cast<double>(longest) > cell_size() - 2;
  }

  std::string attributes() const {
    const std::string what = std::to_string(n_q_) + " rows (" + map_.query_name + ") by " +
                             std::to_string(n_k()) + " columns (" + map_.key_name + ")";
    return map_attributes(has_upright_keys() ? "alignment upright" : "alignment", n_k(), what) +
           " style=\"--cell:" + number_text(general, 6, cell_size()) +
           "px;--letters:" + number_text(general, 6, letter_size()) +
           "px;--gap:" + (has_labels() ? "1px" : "0px") + "\"";
  }

  std::string head_row() const {
    std::string row = "<thead><tr><td></td>";
    for (Index j = 0; j < n_k(); ++j)
      row += std::string("<th scope=\"col\">") + escape_html(label(map_.keys, j)) + "</th>";
    return row + "</tr></thead>\n";
  }

  std::string row(Index i) const {
    EvenShare share;
    Scale scale = map_.by_row ? Scale{} : scale_;
    for (Index j = 0; j < n_k(); ++j) {
      share.include(weight(i, j));
      if (map_.by_row) scale.include(weight(i, j));
    }
    const std::string query = map_.query_name + " " + place(map_.queries, i) + "\n";
    std::string row = "<tr>";
    if (has_labels())
      row += std::string("<th scope=\"row\">") + escape_html(label(map_.queries, i)) + "</th>";
    for (Index j = 0; j < n_k(); ++j) {
      const std::string tooltip = weight_text(weight(i, j)) + "\n" + query + map_.key_name + " " +
                                  place(map_.keys, j) + share.times(weight(i, j));
      row += std::string("<td ") + cell_attributes(weight(i, j), scale, tooltip) + "></td>";
    }
    return row + "</tr>\n";
  }
  /// A token with its index, or the index alone.
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
  std::string panels = std::string("<p class=\"full\">rows: ") + escape_html(map.query_name) +
                       ", columns: " + escape_html(map.key_name) + "</p>\n<div class=\"panels\">\n";
  std::string beside_title;
  for (Index head = 0; head < map.heads; ++head) {
    const AlignmentTable table(map, head);
    panels += "<figure>";
    if (map.heads > 1) {
      panels += std::string("<figcaption>head ") + std::to_string(head) + " " + table.full_shade() +
                "</figcaption>";
    } else {
      beside_title = table.full_shade();
    }
    panels += table.html() + "</figure>\n";
  }
  return framed(map, beside_title, panels + "</div>\n");
}

}  // namespace engine::heatmap
ATTN_END_NAMESPACE
