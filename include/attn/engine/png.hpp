// SPDX-License-Identifier: Apache-2.0
// An image as text within a page: pixels -> PNG with stored (not deflated) rows -> base64.
//
// Stored, since the headers need nothing but Eigen: an image takes 4/3 of its bytes in a page.
// Source: PNG, W3C recommendation 2003 (ISO/IEC 15948), clauses 5 and 11; RFC 1950 (Adler-32);
// RFC 4648, section 4 (base64).
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include <attn/config.hpp>
#include <attn/engine/inflate.hpp>

ATTN_BEGIN_NAMESPACE
namespace engine {

/// How PNG calls what the bytes of a pixel are.
enum class PngColor : char { grey = 0, rgb = 2, palette = 3 };

inline void append_big(std::string& bytes, std::uint32_t value, int count = 4) {
  for (int k = count; k-- > 0;) bytes += static_cast<char>(value >> (8 * k) & 0xffu);
}

inline std::uint32_t adler32(std::string_view bytes) {
  std::uint32_t sum = 1, sum_of_sums = 0;
  for (const char byte : bytes) {
    sum = (sum + static_cast<unsigned char>(byte)) % 65521u;
    sum_of_sums = (sum_of_sums + sum) % 65521u;
  }
  return sum_of_sums << 16 | sum;
}

/// A zlib stream whose blocks are stored; a block holds up to 65535 bytes.
inline std::string zlib_stored(std::string_view bytes) {
  const std::uint32_t sum = adler32(bytes);
  std::string stream = "\x78\x01";
  do {
    const std::string_view block = bytes.substr(0, 65535);
    bytes.remove_prefix(block.size());
    const auto size = static_cast<std::uint32_t>(block.size());
    stream += static_cast<char>(bytes.empty() ? 1 : 0);  // the last block says so
    for (const std::uint32_t number : {size, ~size}) {
      stream += static_cast<char>(number & 0xffu);
      stream += static_cast<char>(number >> 8 & 0xffu);
    }
    stream += block;
  } while (!bytes.empty());
  append_big(stream, sum);
  return stream;
}

inline void append_png_chunk(std::string& png, std::string_view name, std::string_view content) {
  std::string chunk(name);
  chunk += content;
  append_big(png, static_cast<std::uint32_t>(content.size()));
  png += chunk;
  append_big(png, crc32(chunk));
}

/// A PNG file of rows x cols pixels with 8 bits a channel. `palette` (3 bytes a colour) and
/// `opacity` (a byte a colour) stand for the values of the pixels where `color` is palette.
inline std::string png_file(Index rows, Index cols, PngColor color, std::string_view pixels,
                            std::string_view palette = {}, std::string_view opacity = {}) {
  std::string png = "\x89PNG\r\n\x1a\n";
  std::string head;
  append_big(head, static_cast<std::uint32_t>(cols));
  append_big(head, static_cast<std::uint32_t>(rows));
  head += {8, static_cast<char>(color), 0, 0, 0};  // bits; deflate; filters of type 0; no interlace
  append_png_chunk(png, "IHDR", head);
  if (!palette.empty()) append_png_chunk(png, "PLTE", palette);
  if (!opacity.empty()) append_png_chunk(png, "tRNS", opacity);
  const auto row_bytes = static_cast<std::size_t>(color == PngColor::rgb ? 3 * cols : cols);
  std::string lines;
  lines.reserve(pixels.size() + static_cast<std::size_t>(rows));
  for (std::size_t at = 0; at < pixels.size(); at += row_bytes) {
    lines += '\0';  // each row begins with its filter: none
    lines += pixels.substr(at, row_bytes);
  }
  append_png_chunk(png, "IDAT", zlib_stored(lines));
  append_png_chunk(png, "IEND", {});
  return png;
}

inline std::string base64(std::string_view bytes) {
  constexpr std::string_view digits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  text.reserve((bytes.size() + 2) / 3 * 4);
  for (std::size_t at = 0; at < bytes.size(); at += 3) {
    const std::size_t count = std::min<std::size_t>(3, bytes.size() - at);
    std::uint32_t group = 0;
    for (std::size_t k = 0; k < 3; ++k)
      group = group << 8 | (k < count ? static_cast<unsigned char>(bytes[at + k]) : 0u);
    for (std::size_t k = 0; k < 4; ++k)
      text += k <= count ? digits[group >> (18 - 6 * k) & 63u] : '=';
  }
  return text;
}

inline std::string png_uri(std::string_view png) { return "data:image/png;base64," + base64(png); }

}  // namespace engine
ATTN_END_NAMESPACE
