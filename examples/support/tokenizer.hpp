// SPDX-License-Identifier: Apache-2.0
// Text to lower-cased words and punctuation marks, each with its place in the text.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "utf8.hpp"

namespace examples {

struct Token {
  std::string word;       // lower-cased, digits as shapes if so asked
  std::size_t begin = 0;  // bytes [begin, end) of the text
  std::size_t end = 0;
};

struct TokenizerOptions {
  bool digits_as_shapes = false;  // every digit becomes 0: phone numbers and prices meet
};

enum class CharacterClass { kSpace, kLetter, kMark };

/// Letters and digits build words; an ideograph or kana is a mark, so that it stands alone.
constexpr CharacterClass classify(char32_t c) {
  if (c <= 0x20 || (c >= 0x7F && c <= 0xA0) || c == 0x3000 || c == 0xFEFF) {
    return CharacterClass::kSpace;
  }
  if (c >= 0x2000 && c <= 0x200F) return CharacterClass::kSpace;
  if (c < 0x80) {
    const bool digit = c >= U'0' && c <= U'9';
    const bool letter = (c >= U'a' && c <= U'z') || (c >= U'A' && c <= U'Z');
    return digit || letter ? CharacterClass::kLetter : CharacterClass::kMark;
  }
  const bool latin_1_sign = c < 0xC0 && c != 0xAA && c != 0xB5 && c != 0xBA;
  const bool sign = latin_1_sign || c == 0xD7 || c == 0xF7 || (c >= 0x2010 && c <= 0x2BFF);
  const bool ideograph = c >= 0x3001 && c <= 0x9FFF;
  const bool emoji = c >= 0x1F000 && c <= 0x1FAFF;
  return sign || ideograph || emoji ? CharacterClass::kMark : CharacterClass::kLetter;
}

/// An apostrophe between letters belongs to the word: "don't", "it's".
inline bool is_inner_apostrophe(std::string_view text, std::size_t at, std::size_t size) {
  const auto next = decode_utf8(text.substr(at + size));
  return next && classify(next->value) == CharacterClass::kLetter;
}

/// Words and marks of `text`, which must be valid UTF-8; a byte that is not ends the reading.
inline std::vector<Token> tokenize(std::string_view text, const TokenizerOptions& options = {}) {
  std::vector<Token> tokens;
  bool inside_word = false;
  for (std::size_t at = 0; at < text.size();) {
    const auto point = decode_utf8(text.substr(at));
    if (!point) break;
    const bool apostrophe = point->value == U'\'' || point->value == 0x2019;
    const bool joins = inside_word && apostrophe && is_inner_apostrophe(text, at, point->size);
    const CharacterClass kind = joins ? CharacterClass::kLetter : classify(point->value);
    const bool continues = kind == CharacterClass::kLetter && inside_word;
    if (kind != CharacterClass::kSpace && !continues) tokens.push_back({{}, at, at});
    inside_word = kind == CharacterClass::kLetter;
    if (kind != CharacterClass::kSpace) {
      char32_t value = apostrophe ? U'\'' : to_lower(point->value);
      if (options.digits_as_shapes && value >= U'0' && value <= U'9') value = U'0';
      append_utf8(tokens.back().word, value);
      tokens.back().end = at + point->size;
    }
    at += point->size;
  }
  return tokens;
}

}  // namespace examples
