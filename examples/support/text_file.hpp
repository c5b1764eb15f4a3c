// SPDX-License-Identifier: Apache-2.0
// Text files as numbered lines of checked UTF-8; results to files.
#pragma once

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "data_error.hpp"
#include "utf8.hpp"

namespace examples {

enum class Encoding { kUtf8, kWindows1252 };

struct Line {
  std::size_t number = 0;  // from 1
  std::string text;
};

/// All bytes of a file.
inline std::string read_bytes(const std::string& path) {
  std::error_code ignored;
  if (!std::filesystem::exists(path, ignored)) throw DataError(path, "there is no such file.");
  if (std::filesystem::is_directory(path, ignored)) {
    throw DataError(path, "this is a folder, and a file is needed.");
  }
  std::ifstream in(path, std::ios::binary);
  if (!in) throw DataError(path, "the file cannot be opened for reading.");
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

inline std::string describe_invalid_byte(std::string_view line, std::size_t at) {
  constexpr std::string_view digits = "0123456789ABCDEF";
  const auto byte = static_cast<unsigned char>(line[at]);
  return std::string("byte ") + std::to_string(at + 1) + " of this line (0x" + digits[byte >> 4] +
         digits[byte & 15u] + ") is not valid UTF-8; --encoding windows-1252 reads such files.";
}

/// The content of a file as UTF-8 without its byte order mark. A byte that is no UTF-8 is an error
/// with its line.
inline std::string checked_text(const std::string& path, std::string bytes,
                                Encoding encoding = Encoding::kUtf8) {
  if (encoding == Encoding::kWindows1252) return windows_1252_to_utf8(bytes);
  if (bytes.starts_with("\xEF\xBB\xBF")) bytes.erase(0, 3);
  std::size_t number = 1;
  for (std::size_t start = 0; start < bytes.size(); ++number) {
    const std::size_t end = std::min(bytes.find('\n', start), bytes.size());
    const std::string_view line = std::string_view(bytes).substr(start, end - start);
    if (const auto at = first_invalid_utf8(line)) {
      throw DataError(path, number, describe_invalid_byte(line, *at));
    }
    start = end + 1;
  }
  return bytes;
}

inline std::string read_text(const std::string& path, Encoding encoding = Encoding::kUtf8) {
  return checked_text(path, read_bytes(path), encoding);
}

/// Lines end at the byte '\n' and at nothing else: U+0085 and its like occur inside sentences. A
/// '\r' before the '\n' is dropped.
inline std::vector<Line> split_lines(std::string_view text) {
  std::vector<Line> lines;
  for (std::size_t start = 0; start < text.size();) {
    const std::size_t end = std::min(text.find('\n', start), text.size());
    std::string_view line = text.substr(start, end - start);
    if (line.ends_with('\r')) line.remove_suffix(1);
    lines.push_back({lines.size() + 1, std::string(line)});
    start = end + 1;
  }
  return lines;
}

inline std::vector<Line> read_lines(const std::string& path, Encoding encoding = Encoding::kUtf8) {
  return split_lines(read_text(path, encoding));
}

inline void write_file(const std::string& path, const std::string& content) {
  std::ofstream out(path, std::ios::binary);
  out << content;
  out.flush();
  if (!out) throw DataError(path, "the file cannot be written.");
}

/// Asked before the training, so that its result is not lost to a wrong path; changes no file.
inline void check_writable(const std::string& path) {
  if (!path.empty() && !std::ofstream(path, std::ios::app))
    throw DataError(path, "the file cannot be written.");
}

/// Without the blanks and tabs at both ends.
inline std::string_view trimmed(std::string_view text) {
  constexpr std::string_view blanks = " \t\r\n";
  const std::size_t first = text.find_first_not_of(blanks);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(blanks) - first + 1);
}

}  // namespace examples
