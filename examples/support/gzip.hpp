// SPDX-License-Identifier: Apache-2.0
// Bytes as they are, or unpacked where they are gzip (RFC 1952), told by their first two bytes.
#pragma once

#include <zlib.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <limits>
#include <string>
#include <string_view>

#include "data_error.hpp"

namespace examples {

inline bool is_gzip(std::string_view bytes) { return bytes.starts_with("\x1F\x8B"); }

/// zlib's inflate over bytes in memory, one member after the other.
class GzipReader {
 public:
  GzipReader(std::string name, std::string_view bytes) : name_(std::move(name)), left_(bytes) {
    constexpr int kGzipAlone = 16;  // zlib: added to the window's size
    if (inflateInit2(&stream_, kGzipAlone + MAX_WBITS) != Z_OK)
      throw DataError(name_, "zlib has no memory to unpack it.");
  }
  ~GzipReader() { inflateEnd(&stream_); }
  GzipReader(const GzipReader&) = delete;
  GzipReader& operator=(const GzipReader&) = delete;

  /// The first `largest` bytes, or all where there are fewer. What follows is not unpacked.
  std::string read(std::size_t largest) {
    std::string unpacked;
    while (unpacked.size() < largest && !is_over_) {
      const std::size_t wanted = std::min(buffer_.size(), largest - unpacked.size());
      unpacked.append(buffer_.data(), inflate_some(wanted));
    }
    return unpacked;
  }

 private:
  std::size_t inflate_some(std::size_t wanted) {
    const std::size_t given = std::min<std::size_t>(left_.size(), std::numeric_limits<uInt>::max());
    // zlib asks for a pointer to bytes that it does not change.
    stream_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(left_.data()));
    stream_.avail_in = static_cast<uInt>(given);
    stream_.next_out = reinterpret_cast<Bytef*>(buffer_.data());
    stream_.avail_out = static_cast<uInt>(wanted);
    const int status = inflate(&stream_, Z_NO_FLUSH);
    const std::size_t got = wanted - stream_.avail_out;
    left_.remove_prefix(given - stream_.avail_in);
    if (status == Z_STREAM_END) {
      end_member();
    } else if (status == Z_BUF_ERROR && left_.empty()) {
      throw DataError(name_, "the gzip file is cut off.");
    } else if (status != Z_OK) {
      throw DataError(name_, "the gzip file is damaged.");
    }
    return got;
  }

  void end_member() {
    is_over_ = left_.empty();
    if (is_over_) return;
    if (!is_gzip(left_)) throw DataError(name_, "something else follows the end of the gzip file.");
    inflateReset(&stream_);
  }

  std::string name_;
  std::string_view left_;
  z_stream stream_{};
  std::array<char, 65536> buffer_;
  bool is_over_ = false;
};

/// The first `largest` bytes of the content of a file. Memory is taken for bytes that there are, so
/// that a small file cannot ask for much.
inline std::string unpacked(const std::string& name, std::string_view bytes, std::size_t largest) {
  if (is_gzip(bytes)) return GzipReader(name, bytes).read(largest);
  return std::string(bytes.substr(0, largest));
}

}  // namespace examples
