// SPDX-License-Identifier: Apache-2.0
// The characters of a text (code points of UTF-8) as consecutive numbers, and back.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "../support/data_error.hpp"
#include "../support/matrix.hpp"
#include "../support/utf8.hpp"
#include "../support/vocabulary.hpp"

namespace examples {

class Alphabet {
 public:
  Alphabet() = default;

  /// As `characters()` gave it.
  explicit Alphabet(const std::vector<std::string>& characters) : numbers_(characters) {}

  /// Of all characters that occur.
  explicit Alphabet(std::string_view text) {
    for_each(text, [&](const std::string& character) { numbers_.add(character); });
  }

  Index size() const { return numbers_.size(); }
  const std::vector<std::string>& characters() const { return numbers_.words(); }
  const std::string& character(Index number) const { return numbers_.word(number); }

  /// `source` is what an error calls the text: a file or an option.
  std::vector<Index> encode(const std::string& source, std::string_view text) const {
    std::vector<Index> numbers;
    numbers.reserve(text.size());
    for_each(text, [&](const std::string& character) {
      const auto number = numbers_.find(character);
      if (!number)
        throw DataError(source, "the model does not know the character '" + character +
                                    "', which the text that it learnt from has not.");
      numbers.push_back(*number);
    });
    return numbers;
  }

 private:
  template <typename F>
  static void for_each(std::string_view text, const F& f) {
    while (!text.empty()) {
      const auto point = decode_utf8(text);
      const std::size_t size = point ? point->size : 1;
      f(std::string(text.substr(0, size)));
      text.remove_prefix(size);
    }
  }

  Vocabulary numbers_;
};

}  // namespace examples
