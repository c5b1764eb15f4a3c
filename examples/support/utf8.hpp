// SPDX-License-Identifier: Apache-2.0
// UTF-8: checked decoding (RFC 3629), encoding, Windows-1252, and simple lower-casing.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace examples {

struct CodePoint {
  char32_t value = 0;
  std::size_t size = 0;  // bytes that it takes
};

/// The code point at the start of `text`; nothing where the bytes are not UTF-8: a stray
/// continuation, a truncated or overlong sequence, a surrogate, or a value above U+10FFFF.
inline std::optional<CodePoint> decode_utf8(std::string_view text) {
  if (text.empty()) return std::nullopt;
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned lead = byte(0);
  if (lead < 0x80) return CodePoint{lead, 1};
  const std::size_t size = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
  if (lead < 0xC2 || lead > 0xF4 || text.size() < size) return std::nullopt;
  char32_t value = lead & (0x7Fu >> size);
  for (std::size_t i = 1; i < size; ++i) {
    if ((byte(i) & 0xC0u) != 0x80u) return std::nullopt;
    value = (value << 6) | (byte(i) & 0x3Fu);
  }
  constexpr std::array<char32_t, 5> smallest = {0, 0, 0x80, 0x800, 0x10000};
  const bool surrogate = value >= 0xD800 && value <= 0xDFFF;
  if (value < smallest[size] || value > 0x10FFFF || surrogate) return std::nullopt;
  return CodePoint{value, size};
}

inline void append_utf8(std::string& text, char32_t value) {
  const auto push = [&](std::uint32_t byte) { text.push_back(static_cast<char>(byte)); };
  if (value < 0x80) {
    push(value);
  } else if (value < 0x800) {
    push(0xC0u | (value >> 6));
    push(0x80u | (value & 0x3Fu));
  } else if (value < 0x10000) {
    push(0xE0u | (value >> 12));
    push(0x80u | ((value >> 6) & 0x3Fu));
    push(0x80u | (value & 0x3Fu));
  } else {
    push(0xF0u | (value >> 18));
    push(0x80u | ((value >> 12) & 0x3Fu));
    push(0x80u | ((value >> 6) & 0x3Fu));
    push(0x80u | (value & 0x3Fu));
  }
}

/// Where the first byte that is not UTF-8 stands; nothing when all of `text` is valid.
inline std::optional<std::size_t> first_invalid_utf8(std::string_view text) {
  for (std::size_t at = 0; at < text.size();) {
    const auto point = decode_utf8(text.substr(at));
    if (!point) return at;
    at += point->size;
  }
  return std::nullopt;
}

/// Windows-1252 differs from Latin-1 in 0x80 to 0x9F; the five bytes that it leaves undefined keep
/// their own value, as browsers do.
inline std::string windows_1252_to_utf8(std::string_view bytes) {
  constexpr std::array<char16_t, 32> upper = {
      0x20AC, 0x0081, 0x201A, 0x0192, 0x201E, 0x2026, 0x2020, 0x2021, 0x02C6, 0x2030, 0x0160,
      0x2039, 0x0152, 0x008D, 0x017D, 0x008F, 0x0090, 0x2018, 0x2019, 0x201C, 0x201D, 0x2022,
      0x2013, 0x2014, 0x02DC, 0x2122, 0x0161, 0x203A, 0x0153, 0x009D, 0x017E, 0x0178};
  std::string text;
  text.reserve(bytes.size());
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    append_utf8(text, byte >= 0x80 && byte < 0xA0 ? upper[byte - 0x80u] : char32_t{byte});
  }
  return text;
}

/// Lower case of the letters of the Latin-1, Latin Extended-A, Greek and Cyrillic blocks; anything
/// else is itself. Enough to make words meet; not a full case folding.
constexpr char32_t to_lower(char32_t c) {
  const bool latin_1 = c >= 0xC0 && c <= 0xDE && c != 0xD7;
  const bool greek = c >= 0x391 && c <= 0x3A9;
  const bool cyrillic = c >= 0x410 && c <= 0x42F;
  if ((c >= U'A' && c <= U'Z') || latin_1 || greek || cyrillic) return c + 32;
  if (c >= 0x400 && c <= 0x40F) return c + 80;
  // In Latin Extended-A upper and lower case alternate; the parity flips twice on the way.
  const bool even_is_upper = (c >= 0x100 && c <= 0x137) || (c >= 0x14A && c <= 0x177);
  const bool odd_is_upper = (c >= 0x139 && c <= 0x148) || (c >= 0x179 && c <= 0x17E);
  if (c == 0x130) return U'i';
  if (c == 0x178) return 0xFF;
  if ((even_is_upper && c % 2 == 0) || (odd_is_upper && c % 2 == 1)) return c + 1;
  return c;
}

}  // namespace examples
