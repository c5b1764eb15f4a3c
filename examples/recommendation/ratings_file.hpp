// SPDX-License-Identifier: Apache-2.0
// Files of ratings, `user,item,rating,timestamp`, and of titles, `item,title,...`: with commas or
// tabs (quoted as in RFC 4180), with '|', or with '::' as MovieLens and MovieTweetings have them.
#pragma once

#include <charconv>
#include <cmath>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "../support/data_error.hpp"
#include "../support/delimited.hpp"
#include "../support/text_file.hpp"
#include "catalogue.hpp"

namespace examples {
namespace detail {

inline std::vector<Row> rows_between_double_colons(const std::vector<Line>& lines) {
  std::vector<Row> rows;
  for (const Line& line : lines) {
    if (trimmed(line.text).empty()) continue;
    Row row{line.number, {}};
    std::string_view rest = line.text;
    for (std::size_t at; (at = rest.find("::")) != std::string_view::npos;) {
      row.fields.emplace_back(rest.substr(0, at));
      rest.remove_prefix(at + 2);
    }
    row.fields.emplace_back(rest);
    rows.push_back(std::move(row));
  }
  return rows;
}

/// The first line tells what divides the fields: '::', a tab, or the first of ',' and '|'.
inline std::vector<Row> read_rows(const std::string& path, Encoding encoding) {
  const std::string text = read_text(path, encoding);
  const std::string_view first = std::string_view(text).substr(0, text.find('\n'));
  if (first.find("::") != std::string_view::npos)
    return rows_between_double_colons(split_lines(text));
  const std::size_t other = first.find_first_of(",|");
  char separator = other == std::string_view::npos ? ',' : first[other];
  if (first.find('\t') != std::string_view::npos) separator = '\t';
  DelimitedText read = read_delimited(text, separator);
  if (read.error) throw DataError(path, read.error->line, read.error->sentence);
  return std::move(read.rows);
}

inline std::optional<double> number_of(std::string_view text) {
  const std::string_view digits = trimmed(text);
  double number = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  if (error != std::errc() || end != digits.data() + digits.size() || !std::isfinite(number))
    return std::nullopt;
  return number;
}

inline Rating rating_of(const std::string& path, const Row& row) {
  const std::vector<std::string>& f = row.fields;
  if (f.size() != 4)
    throw DataError(path, row.line,
                    "this line has " + std::to_string(f.size()) +
                        (f.size() == 1 ? " field" : " fields") +
                        ", and the four user, item, rating and timestamp are needed.");
  if (f[0].empty() || f[1].empty())
    throw DataError(
        path, row.line,
        std::string("the ") + (f[0].empty() ? "user" : "item") + " of this line is empty.");
  for (const std::size_t i : {std::size_t{2}, std::size_t{3}})
    if (!number_of(f[i]))
      throw DataError(path, row.line,
                      std::string("the ") + (i == 2 ? "rating" : "timestamp") + " '" + shown(f[i]) +
                          "' is not a number.");
  return {f[0], f[1], *number_of(f[3])};
}

/// A first line whose rating and timestamp are words names the columns.
inline bool is_header(const Row& row) {
  return row.fields.size() == 4 && !number_of(row.fields[2]) && !number_of(row.fields[3]);
}

}  // namespace detail

inline Catalogue read_ratings(const std::string& path, Encoding encoding) {
  const std::vector<Row> rows = detail::read_rows(path, encoding);
  std::vector<Rating> ratings;
  for (std::size_t i = 0; i < rows.size(); ++i)
    if (i > 0 || !detail::is_header(rows[i])) ratings.push_back(detail::rating_of(path, rows[i]));
  if (ratings.empty()) throw DataError(path, "the file holds no rating.");
  return catalogue_of(path, std::move(ratings));
}

/// Gives the items their titles; an item without a line keeps its name.
inline void read_titles(const std::string& path, Encoding encoding, Catalogue& catalogue) {
  bool any = false;
  for (const Row& row : detail::read_rows(path, encoding)) {
    if (row.fields.size() < 2)
      throw DataError(path, row.line,
                      "this line has one field, and an item and its title are needed.");
    const auto item = catalogue.items.find(row.fields[0]);
    if (!item) continue;
    any = true;
    catalogue.titles[static_cast<std::size_t>(*item)] = row.fields[1];
  }
  if (!any) throw DataError(path, "none of the titles is that of an item that was rated.");
}

}  // namespace examples
