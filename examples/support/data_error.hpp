// SPDX-License-Identifier: Apache-2.0
// The error for bad data: one sentence that starts with the file and, where there is one, the line.
#pragma once

#include <cstddef>
#include <stdexcept>
#include <string>

namespace examples {

/// What a program ends with when its data or its options are bad.
inline constexpr int kBadDataExitCode = 2;

class DataError : public std::runtime_error {
 public:
  explicit DataError(const std::string& sentence) : std::runtime_error(sentence) {}
  DataError(const std::string& file, const std::string& sentence)
      : std::runtime_error(file + ": " + sentence) {}
  DataError(const std::string& file, std::size_t line, const std::string& sentence)
      : std::runtime_error(file + ":" + std::to_string(line) + ": " + sentence) {}
};

}  // namespace examples
