// SPDX-License-Identifier: Apache-2.0
// Comma- or tab-separated rows with quoting as in RFC 4180.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace examples {

struct Row {
  std::size_t line = 0;  // where the row starts, from 1
  std::vector<std::string> fields;
};

/// What in a text breaks RFC 4180, and in which line.
struct QuotingError {
  std::size_t line = 0;
  std::string sentence;
};

struct DelimitedText {
  std::vector<Row> rows;
  std::optional<QuotingError> error;
};

/// Reads fields one after the other; a quoted field may hold separators, "" and line ends.
class DelimitedReader {
 public:
  DelimitedReader(std::string_view text, char separator) : text_(text), separator_(separator) {}

  DelimitedText read() {
    DelimitedText result;
    while (at_ < text_.size() && !error_) {
      Row row{line_, {}};
      do row.fields.push_back(field());
      while (!error_ && take(separator_));
      end_line();
      const bool blank = row.fields.size() == 1 && row.fields.front().empty();
      if (!blank) result.rows.push_back(std::move(row));
    }
    result.error = std::move(error_);
    return result;
  }

 private:
  bool at_line_end() const {
    return at_ == text_.size() || text_[at_] == '\n' || text_.substr(at_).starts_with("\r\n");
  }

  bool take(char wanted) {
    const bool found = at_ < text_.size() && text_[at_] == wanted;
    if (found) ++at_;
    return found;
  }

  void end_line() {
    take('\r');
    if (take('\n')) ++line_;
  }

  void fail(std::size_t line, std::string sentence) {
    error_ = QuotingError{line, std::move(sentence)};
  }

  std::string field() { return take('"') ? quoted() : plain(); }

  std::string plain() {
    const std::size_t start = at_;
    while (!at_line_end() && text_[at_] != separator_) {
      if (text_[at_] == '"') fail(line_, "a quote stands inside a field that is not quoted.");
      ++at_;
    }
    return std::string(text_.substr(start, at_ - start));
  }

  std::string quoted() {
    const std::size_t start_line = line_;
    std::string value;
    while (at_ < text_.size()) {
      const char c = text_[at_++];
      if (c == '"' && !take('"')) {
        if (!at_line_end() && text_[at_] != separator_) {
          fail(line_, "text follows the closing quote of a field.");
        }
        return value;
      }
      if (c == '\n') ++line_;
      value.push_back(c);
    }
    fail(start_line, "a quoted field that starts here is never closed.");
    return value;
  }

  std::string_view text_;
  char separator_;
  std::size_t at_ = 0;
  std::size_t line_ = 1;
  std::optional<QuotingError> error_;
};

/// Rows of `text`; empty lines are skipped. At the first break of the rules reading stops, and
/// `error` says where.
inline DelimitedText read_delimited(std::string_view text, char separator) {
  return DelimitedReader(text, separator).read();
}

}  // namespace examples
