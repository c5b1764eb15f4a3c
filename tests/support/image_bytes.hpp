// SPDX-License-Identifier: Apache-2.0
// Small image files in memory, for tests of the readers and as seeds of their fuzzers.
#pragma once

#include <zlib.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace support {

/// The highest byte first, as IDX has its numbers.
inline std::string big_endian(std::uint32_t number) {
  std::string bytes;
  for (int shift = 24; shift >= 0; shift -= 8)
    bytes.push_back(static_cast<char>((number >> shift) & 0xFFu));
  return bytes;
}

inline std::string idx_head(const std::vector<std::uint32_t>& numbers) {
  std::string bytes;
  for (const std::uint32_t number : numbers) bytes += big_endian(number);
  return bytes;
}

/// `count` images whose pixels are 0, 1, 2, ... on and on.
inline std::string idx_images(std::uint32_t count, std::uint32_t rows, std::uint32_t columns) {
  std::string bytes = idx_head({2051, count, rows, columns});
  for (std::uint32_t i = 0; i < count * rows * columns; ++i)
    bytes.push_back(static_cast<char>(i & 0xFFu));
  return bytes;
}

/// The labels 0, 1, ..., 9, 0, ...
inline std::string idx_labels(std::uint32_t count) {
  std::string bytes = idx_head({2049, count});
  for (std::uint32_t i = 0; i < count; ++i) bytes.push_back(static_cast<char>(i % 10));
  return bytes;
}

/// Packed by zlib.
inline std::string gzip(std::string_view bytes) {
  z_stream stream{};
  constexpr int kGzip = 16, kMemory = 8;
  deflateInit2(&stream, Z_BEST_COMPRESSION, Z_DEFLATED, kGzip + MAX_WBITS, kMemory,
               Z_DEFAULT_STRATEGY);
  std::string packed(deflateBound(&stream, static_cast<uLong>(bytes.size())), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  stream.avail_in = static_cast<uInt>(bytes.size());
  stream.next_out = reinterpret_cast<Bytef*>(packed.data());
  stream.avail_out = static_cast<uInt>(packed.size());
  deflate(&stream, Z_FINISH);
  packed.resize(stream.total_out);
  deflateEnd(&stream);
  return packed;
}

}  // namespace support
