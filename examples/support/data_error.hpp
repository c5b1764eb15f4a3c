// SPDX-License-Identifier: Apache-2.0
// The error for bad data: one sentence that starts with the file and, where there is one, the line.
#pragma once

#include <cstddef>
#include <stdexcept>
#include <string>
#include <string_view>

namespace examples {

/// What a program ends with when its data or its options are bad.
inline constexpr int kBadDataExitCode = 2;

/// Text from a file as a sentence can show it: what a line cannot hold becomes a question mark, and
/// what is long is cut.
inline std::string shown(std::string_view text) {
  constexpr std::size_t kMost = 60;
  std::size_t size = text.size() > kMost ? kMost : text.size();
  // Not in the middle of a character of UTF-8.
  while (size > 0 && size < text.size() &&
         (static_cast<unsigned char>(text[size]) & 0xC0u) == 0x80u)
    --size;
  std::string readable(text.substr(0, size));
  for (char& c : readable)
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) c = '?';
  return text.size() > kMost ? readable + "..." : readable;
}

class DataError : public std::runtime_error {
 public:
  explicit DataError(const std::string& sentence) : std::runtime_error(sentence) {}
  DataError(const std::string& file, const std::string& sentence)
      : std::runtime_error(file + ": " + sentence) {}
  DataError(const std::string& file, std::size_t line, const std::string& sentence)
      : std::runtime_error(file + ":" + std::to_string(line) + ": " + sentence) {}
};

}  // namespace examples
