// SPDX-License-Identifier: Apache-2.0
// A small table for the console: the first column flush left, the others flush right.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

namespace examples {

class ConsoleTable {
 public:
  explicit ConsoleTable(std::vector<std::string> head) { rows_.push_back(std::move(head)); }

  void add(std::vector<std::string> row) { rows_.push_back(std::move(row)); }

  void print(std::ostream& out) const {
    std::vector<std::size_t> widths(rows_.front().size(), 0);
    for (const auto& row : rows_) {
      for (std::size_t c = 0; c < row.size(); ++c) widths[c] = std::max(widths[c], width(row[c]));
    }
    for (std::size_t r = 0; r < rows_.size(); ++r) {
      print_row(out, rows_[r], widths);
      if (r == 0) print_rule(out, widths);
    }
  }

 private:
  /// Characters, not bytes: continuation bytes take no place on the screen.
  static std::size_t width(const std::string& text) {
    return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char c) {
      return (static_cast<unsigned char>(c) & 0xC0u) != 0x80u;
    }));
  }

  static void print_row(std::ostream& out, const std::vector<std::string>& row,
                        const std::vector<std::size_t>& widths) {
    for (std::size_t c = 0; c < row.size(); ++c) {
      const std::string padding(widths[c] - width(row[c]), ' ');
      out << "  " << (c == 0 ? row[c] + padding : padding + row[c]);
    }
    out << '\n';
  }

  static void print_rule(std::ostream& out, const std::vector<std::size_t>& widths) {
    for (const std::size_t width : widths) out << "  " << std::string(width, '-');
    out << '\n';
  }

  std::vector<std::vector<std::string>> rows_;
};

/// A number with a fixed count of decimals.
inline std::string fixed(double value, int decimals) {
  char text[64];
  std::snprintf(text, sizeof text, "%.*f", decimals, value);
  return text;
}

}  // namespace examples
