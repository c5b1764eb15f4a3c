// SPDX-License-Identifier: Apache-2.0
// Labelled texts from files: tab- or comma-separated, TREC's `LABEL:sub text`, one file a class, or
// a folder with the files `seq.in` and `label`.
#pragma once

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "../support/data_error.hpp"
#include "../support/delimited.hpp"
#include "../support/text_file.hpp"
#include "corpus.hpp"
#include "settings.hpp"

namespace examples {

namespace detail {

inline LabelledText labelled(std::string_view label, std::string_view text, const std::string& file,
                             std::size_t line) {
  label = trimmed(label);
  if (label.empty()) throw DataError(file, line, "this line has no label.");
  return {
      .label = std::string(label), .text = std::string(trimmed(text)), .file = file, .line = line};
}

/// The label is the first or the last field; what other fields there are make up the text.
inline LabelledText from_fields(const Row& row, char separator, const std::string& file,
                                LabelColumn column) {
  if (row.fields.size() < 2) {
    throw DataError(file, row.line,
                    std::string("this line has no label: no ") +
                        (separator == '\t' ? "tab" : "comma") + " divides it into label and text.");
  }
  const bool first = column == LabelColumn::kFirst;
  const std::size_t label = first ? 0 : row.fields.size() - 1;
  std::string text;
  for (std::size_t i = 0; i < row.fields.size(); ++i) {
    if (i == label) continue;
    if (!text.empty()) text += ' ';
    text += row.fields[i];
  }
  return labelled(row.fields[label], text, file, row.line);
}

inline bool is_header(const Row& row, LabelColumn column) {
  if (row.fields.size() < 2) return false;
  const std::string& label = column == LabelColumn::kFirst ? row.fields.front() : row.fields.back();
  const std::string& text = column == LabelColumn::kFirst ? row.fields[1] : row.fields.front();
  return (label == "label" || label == "class") && (text == "text" || text == "sentence");
}

inline Texts from_rows(const std::vector<Row>& rows, char separator, const std::string& file,
                       const ReaderOptions& options) {
  Texts texts;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    if (i == 0 && (options.header || is_header(rows[i], options.label))) continue;
    texts.push_back(from_fields(rows[i], separator, file, options.label));
  }
  return texts;
}

/// Lines cut at tabs, quotes being ordinary characters.
inline std::vector<Row> unquoted_rows(std::string_view text) {
  std::vector<Row> rows;
  for (const Line& line : split_lines(text)) {
    if (trimmed(line.text).empty()) continue;
    Row row{line.number, {}};
    for (std::size_t start = 0; start <= line.text.size();) {
      const std::size_t end = std::min(line.text.find('\t', start), line.text.size());
      row.fields.push_back(line.text.substr(start, end - start));
      start = end + 1;
    }
    rows.push_back(std::move(row));
  }
  return rows;
}

/// A file with tabs that obeys RFC 4180 as a whole is quoted; one that breaks it anywhere holds
/// quotes as ordinary characters, as most files with tabs do.
inline Texts read_tabs(std::string_view text, const std::string& file,
                       const ReaderOptions& options) {
  const DelimitedText quoted = read_delimited(text, '\t');
  return from_rows(quoted.error ? unquoted_rows(text) : quoted.rows, '\t', file, options);
}

inline Texts read_commas(std::string_view text, const std::string& file,
                         const ReaderOptions& options) {
  const DelimitedText rows = read_delimited(text, ',');
  if (rows.error) throw DataError(file, rows.error->line, rows.error->sentence);
  return from_rows(rows.rows, ',', file, options);
}

/// Where the colon of `LABEL:sub` stands; npos in a line that does not begin so.
inline std::size_t trec_colon(std::string_view line) {
  const std::size_t end = line.find_first_of(" \t");
  const std::size_t colon = line.find(':');
  const bool fits = end != std::string_view::npos && colon < end && colon > 0 && colon + 1 < end;
  return fits && line.find_first_of(",\"") > end ? colon : std::string_view::npos;
}

inline Texts read_trec(std::string_view text, const std::string& file) {
  Texts texts;
  for (const Line& line : split_lines(text)) {
    if (trimmed(line.text).empty()) continue;
    const std::size_t colon = trec_colon(line.text);
    if (colon == std::string_view::npos) {
      throw DataError(file, line.number,
                      "this line has no label: it does not begin with LABEL:sub and a blank.");
    }
    const std::size_t end = line.text.find_first_of(" \t");
    const std::string_view view = line.text;
    texts.push_back(labelled(view.substr(0, colon), view.substr(end), file, line.number));
  }
  return texts;
}

/// By the name's ending, else by the first line that is not empty.
inline TextFormat guess_format(const std::string& path, std::string_view text) {
  const std::string ending = std::filesystem::path(path).extension().string();
  if (ending == ".csv") return TextFormat::kCommas;
  if (ending == ".tsv") return TextFormat::kTabs;
  const std::size_t start = std::min(text.find_first_not_of("\r\n"), text.size());
  const std::string_view line = text.substr(start, text.find('\n', start) - start);
  if (line.find('\t') != std::string_view::npos) return TextFormat::kTabs;
  return trec_colon(line) == std::string_view::npos ? TextFormat::kCommas : TextFormat::kTrec;
}

inline Texts read_parallel_files(const std::string& folder, Encoding encoding) {
  const std::string text_file = (std::filesystem::path(folder) / "seq.in").string();
  const std::string label_file = (std::filesystem::path(folder) / "label").string();
  const std::vector<Line> lines = read_lines(text_file, encoding);
  const std::vector<Line> labels = read_lines(label_file, encoding);
  if (lines.size() != labels.size()) {
    throw DataError(labels.size() < lines.size() ? label_file : text_file,
                    std::min(lines.size(), labels.size()),
                    "the file ends here, and its companion has " +
                        std::to_string(std::max(lines.size(), labels.size())) + " lines.");
  }
  Texts texts;
  for (std::size_t i = 0; i < lines.size(); ++i) {
    if (trimmed(labels[i].text).empty()) {
      throw DataError(label_file, labels[i].number, "this line has no label.");
    }
    texts.push_back(labelled(labels[i].text, lines[i].text, text_file, lines[i].number));
  }
  return texts;
}

}  // namespace detail

/// The texts of one file, or of a folder with `seq.in` and `label`.
inline Texts read_texts(const std::string& path, const ReaderOptions& options) {
  std::error_code ignored;
  if (std::filesystem::is_directory(path, ignored)) {
    return detail::read_parallel_files(path, options.encoding);
  }
  const std::string text = read_text(path, options.encoding);
  if (trimmed(text).empty()) throw DataError(path, "the file holds no text.");
  const TextFormat format =
      options.format == TextFormat::kAuto ? detail::guess_format(path, text) : options.format;
  if (format == TextFormat::kTrec) return detail::read_trec(text, path);
  if (format == TextFormat::kTabs) return detail::read_tabs(text, path, options);
  return detail::read_commas(text, path, options);
}

/// One text a line, all of the class `label`.
inline Texts read_class_file(const std::string& label, const std::string& path, Encoding encoding) {
  Texts texts;
  for (const Line& line : read_lines(path, encoding)) {
    if (trimmed(line.text).empty()) continue;
    texts.push_back(detail::labelled(label, line.text, path, line.number));
  }
  if (texts.empty()) {
    throw DataError(path, 1, "the class '" + label + "' is empty: the file holds no text.");
  }
  return texts;
}

}  // namespace examples
