// SPDX-License-Identifier: Apache-2.0
// How many tokens must be inserted, deleted or replaced to turn one sequence into another.
//
// Source: Wagner and Fischer 1974, with one row of the table kept.
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <vector>

namespace examples {

template <typename Token>
std::size_t edit_distance(std::span<const Token> from, std::span<const Token> to) {
  std::vector<std::size_t> row(to.size() + 1);
  for (std::size_t j = 0; j < row.size(); ++j) row[j] = j;
  for (std::size_t i = 0; i < from.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i + 1;
    for (std::size_t j = 0; j < to.size(); ++j) {
      const std::size_t replaced = diagonal + (from[i] == to[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({replaced, row[j + 1] + 1, row[j] + 1});
    }
  }
  return row.back();
}

}  // namespace examples
