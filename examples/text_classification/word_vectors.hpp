// SPDX-License-Identifier: Apache-2.0
// Word vectors in GloVe's text format: a word and its numbers a line, divided by blanks.
#pragma once

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "../support/data_error.hpp"
#include "../support/matrix.hpp"
#include "../support/text_file.hpp"
#include "../support/vocabulary.hpp"

namespace examples {

class WordVectors {
 public:
  /// Every line must bring as many numbers as the first.
  explicit WordVectors(const std::string& path) {
    for (const Line& line : read_lines(path)) {
      if (!trimmed(line.text).empty()) add(path, line);
    }
    if (words_.size() == 0) throw DataError(path, "the file holds no word vector.");
  }

  Index dimension() const { return dimension_; }
  Index size() const { return words_.size(); }

  /// The numbers of a word, or null.
  const float* find(const std::string& word) const {
    const auto number = words_.find(word);
    return number ? numbers_.data() + *number * dimension_ : nullptr;
  }

 private:
  void add(const std::string& path, const Line& line) {
    const std::string_view text = trimmed(line.text);
    const std::size_t word_end = text.find(' ');
    std::vector<float> vector;
    for (std::size_t at = word_end; at < text.size();) {
      const std::size_t begin = text.find_first_not_of(' ', at);
      at = std::min(text.find(' ', begin), text.size());
      vector.push_back(number(path, line.number, text.substr(begin, at - begin)));
    }
    if (vector.empty()) throw DataError(path, line.number, "the word has no numbers.");
    if (dimension_ == 0) dimension_ = static_cast<Index>(vector.size());
    if (static_cast<Index>(vector.size()) != dimension_) {
      throw DataError(path, line.number,
                      "this vector has " + std::to_string(vector.size()) +
                          " numbers and the first has " + std::to_string(dimension_) + ".");
    }
    const Index before = words_.size();
    words_.add(std::string(text.substr(0, word_end)));
    if (words_.size() > before) numbers_.insert(numbers_.end(), vector.begin(), vector.end());
  }

  static float number(const std::string& path, std::size_t line, std::string_view digits) {
    float value = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    if (error != std::errc() || end != digits.data() + digits.size()) {
      throw DataError(path, line, "'" + std::string(digits) + "' is not a number.");
    }
    return value;
  }

  Vocabulary words_;
  std::vector<float> numbers_;
  Index dimension_ = 0;
};

}  // namespace examples
