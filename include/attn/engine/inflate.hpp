// SPDX-License-Identifier: Apache-2.0
// Unpacks deflated data, as in zip archives, and checks sums of bytes. Damaged data is refused: no
// byte is read or written beyond what there is.
//
// Source: RFC 1951 (Deutsch 1996), sections 3.2.2 to 3.2.7; CRC-32: RFC 1952, section 8.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>

#include <attn/config.hpp>

ATTN_BEGIN_NAMESPACE
namespace engine {

/// The sum of a zip member.
inline std::uint32_t crc32(std::string_view bytes) {
  static constexpr std::array<std::uint32_t, 256> table = [] {
    std::array<std::uint32_t, 256> entries{};
    for (std::uint32_t k = 0; k < 256; ++k) {
      std::uint32_t rest = k;
      for (int bit = 0; bit < 8; ++bit) rest = rest >> 1 ^ ((rest & 1) != 0 ? 0xedb88320u : 0u);
      entries[k] = rest;
    }
    return entries;
  }();
  std::uint32_t sum = 0xffffffffu;
  for (const char byte : bytes)
    sum = table[(sum ^ static_cast<unsigned char>(byte)) & 0xff] ^ sum >> 8;
  return ~sum;
}

/// Bits from the lowest of each byte on. Past the end they are 0, and `is_over` tells.
class BitReader {
 public:
  explicit BitReader(std::string_view bytes) : bytes_(bytes) {}

  unsigned bits(unsigned count) {
    unsigned value = 0;
    for (unsigned k = 0; k < count; ++k) value |= bit() << k;
    return value;
  }
  unsigned bit() {
    if (at_ / 8 >= bytes_.size()) {
      is_over_ = true;
      return 0;
    }
    const auto byte = static_cast<unsigned char>(bytes_[at_ / 8]);
    return static_cast<unsigned>(byte >> at_++ % 8 & 1);
  }
  /// The bytes from the next whole one on, as many as asked for, or fewer at the end.
  std::string_view take_bytes(std::size_t count) {
    const std::size_t first = (at_ + 7) / 8;
    const std::string_view taken =
        bytes_.substr(first < bytes_.size() ? first : bytes_.size(), count);
    is_over_ = is_over_ || taken.size() < count;
    at_ = (first + taken.size()) * 8;
    return taken;
  }
  bool is_over() const { return is_over_; }

 private:
  std::string_view bytes_;
  std::size_t at_ = 0;
  bool is_over_ = false;
};

/// A canonical prefix code: codes of one length are consecutive, in the order of their symbols.
class PrefixCode {
 public:
  static constexpr unsigned no_symbol = 0xffff;

  /// From the length of every symbol's code, 0 for symbols that do not occur. False where there are
  /// more codes than bits can tell apart.
  bool assign(const std::uint8_t* lengths, std::size_t symbols) {
    count_.fill(0);
    for (std::size_t s = 0; s < symbols; ++s) ++count_[lengths[s]];
    count_[0] = 0;
    std::array<std::uint16_t, 17> place{};
    int free_codes = 1;
    for (std::size_t length = 1; length <= 15; ++length) {
      free_codes = 2 * free_codes - count_[length];
      if (free_codes < 0) return false;
      place[length + 1] = static_cast<std::uint16_t>(place[length] + count_[length]);
    }
    for (std::size_t s = 0; s < symbols; ++s)
      if (lengths[s] > 0) ordered_[place[lengths[s]]++] = static_cast<std::uint16_t>(s);
    return true;
  }

  /// The next symbol, or no_symbol where the bits are no code.
  unsigned read(BitReader& from) const {
    unsigned code = 0, first = 0, before = 0;  // first: the first code of this length
    for (std::size_t length = 1; length <= 15; ++length) {
      code = code << 1 | from.bit();
      first <<= 1;
      const unsigned here = count_[length];
      if (code >= first && code - first < here) return ordered_[before + code - first];
      first += here;
      before += here;
    }
    return no_symbol;
  }

 private:
  std::array<std::uint16_t, 16> count_{};
  std::array<std::uint16_t, 288> ordered_{};
};

class Inflater {
 public:
  Inflater(std::string_view packed, std::size_t size) : from_(packed), size_(size) {}

  /// The unpacked bytes, or nothing where they are not `size` or the data is damaged.
  std::optional<std::string> unpack() {
    for (bool is_last = false; !is_last;) {
      is_last = from_.bit() == 1;
      const unsigned kind = from_.bits(2);
      const bool good = kind == 0   ? copy_stored()
                        : kind == 1 ? assign_fixed() && unpack_block()
                        : kind == 2 ? read_codes() && unpack_block()
                                    : false;
      if (!good || from_.is_over()) return std::nullopt;
    }
    if (out_.size() != size_) return std::nullopt;
    return std::move(out_);
  }

 private:
  bool copy_stored() {
    const std::string_view head = from_.take_bytes(4);
    if (head.size() < 4) return false;
    const auto byte = [&](std::size_t k) { return unsigned{static_cast<unsigned char>(head[k])}; };
    const unsigned count = byte(0) | byte(1) << 8, inverse = byte(2) | byte(3) << 8;
    if ((count ^ inverse) != 0xffff || count > size_ - out_.size()) return false;
    out_ += from_.take_bytes(count);
    return true;
  }

  /// Section 3.2.6.
  bool assign_fixed() {
    std::array<std::uint8_t, 288> lengths{};
    for (std::size_t s = 0; s < 288; ++s) lengths[s] = s < 144 ? 8 : s < 256 ? 9 : s < 280 ? 7 : 8;
    std::array<std::uint8_t, 30> fives{};
    fives.fill(5);
    return literals_.assign(lengths.data(), 288) && distances_.assign(fives.data(), 30);
  }

  /// Section 3.2.7: code lengths, themselves coded.
  bool read_codes() {
    const std::size_t literals = from_.bits(5) + 257, distances = from_.bits(5) + 1;
    const unsigned given = from_.bits(4) + 4;
    static constexpr std::array<std::uint8_t, 19> order = {16, 17, 18, 0, 8,  7, 9,  6, 10, 5,
                                                           11, 4,  12, 3, 13, 2, 14, 1, 15};
    std::array<std::uint8_t, 19> of_lengths{};
    for (unsigned k = 0; k < given; ++k)
      of_lengths[order[k]] = static_cast<std::uint8_t>(from_.bits(3));
    PrefixCode code;
    if (literals > 286 || distances > 30 || !code.assign(of_lengths.data(), 19)) return false;
    std::array<std::uint8_t, 286 + 30> lengths{};
    const std::size_t total = literals + distances;
    for (std::size_t k = 0; k < total;) {
      const unsigned symbol = code.read(from_);
      if (symbol > 18 || from_.is_over()) return false;
      if (symbol < 16) {
        lengths[k++] = static_cast<std::uint8_t>(symbol);
        continue;
      }
      if (symbol == 16 && k == 0) return false;
      const std::uint8_t again = symbol == 16 ? lengths[k - 1] : std::uint8_t{0};
      std::size_t times = symbol == 16   ? 3 + from_.bits(2)
                          : symbol == 17 ? 3 + from_.bits(3)
                                         : 11 + from_.bits(7);
      if (times > total - k) return false;
      while (times-- > 0) lengths[k++] = again;
    }
    return literals_.assign(lengths.data(), literals) &&
           distances_.assign(lengths.data() + literals, distances);
  }

  /// Sections 3.2.3 and 3.2.5: literals, and copies of what was there.
  bool unpack_block() {
    for (;;) {
      const unsigned symbol = literals_.read(from_);
      if (symbol > 285 || from_.is_over()) return false;
      if (symbol == 256) return true;
      if (symbol < 256) {
        if (out_.size() == size_) return false;
        out_ += static_cast<char>(symbol);
      } else if (!copy_back(symbol - 257)) {
        return false;
      }
    }
  }
  bool copy_back(unsigned k) {
    const std::size_t length = k == 28 ? 258 : 3 + stepped(k, 4);
    const unsigned symbol = distances_.read(from_);
    if (symbol > 29) return false;
    const std::size_t distance = 1 + stepped(symbol, 2);
    if (from_.is_over() || distance > out_.size() || length > size_ - out_.size()) return false;
    for (std::size_t n = 0; n < length; ++n) out_ += out_[out_.size() - distance];
    return true;
  }
  /// Lengths and distances: `steps` values for each power of 2, the lower bits following the code.
  std::size_t stepped(unsigned k, unsigned steps) {
    if (k < 2 * steps) return k;
    const unsigned extra = k / steps - 1;
    return (std::size_t{steps + k % steps} << extra) + from_.bits(extra);
  }

  BitReader from_;
  std::size_t size_;
  std::string out_;
  PrefixCode literals_;
  PrefixCode distances_;
};

}  // namespace engine
ATTN_END_NAMESPACE
