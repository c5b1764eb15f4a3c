// SPDX-License-Identifier: Apache-2.0
// One tensor as NumPy's .npy stores it, in memory.
//
//     "\x93NUMPY" major minor, length of the header, the header (a Python dictionary), the numbers
//
// Source: numpy.lib.format, versions 1.0 to 3.0. Next: zip.hpp, which holds several.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include <attn/config.hpp>
#include <attn/engine/file.hpp>

ATTN_BEGIN_NAMESPACE
namespace engine {

/// The header's entries: {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }
struct NpyHeader {
  std::string type;
  bool by_columns = false;
  StoredShape shape;
};

/// Reads the dictionary, and nothing but such a dictionary.
class NpyHeaderReader {
 public:
  explicit NpyHeaderReader(std::string_view text) : text_(text) {}

  std::optional<NpyHeader> read() {
    int type = 0, order = 0, shape = 0;
    bool good = take('{');
    while (good && !take('}')) {
      const std::string_view key = quoted();
      good = take(':');
      if (key == "descr") {
        header_.type = quoted();
        ++type;
      } else if (key == "fortran_order") {
        header_.by_columns = take_word("True");
        good = good && (header_.by_columns || take_word("False"));
        ++order;
      } else if (key == "shape") {
        good = good && read_shape();
        ++shape;
      } else {
        good = false;
      }
      good = good && (take(',') || next() == '}');
    }
    good = good && type == 1 && order == 1 && shape == 1 && next() == '\0' && at_ == text_.size();
    return good ? std::optional(std::move(header_)) : std::nullopt;
  }

 private:
  /// The next character that is no space, or 0.
  char next() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\n')) ++at_;
    return at_ < text_.size() ? text_[at_] : '\0';
  }
  bool take(char c) {
    if (next() != c || at_ == text_.size()) return false;
    ++at_;
    return true;
  }
  bool take_word(std::string_view word) {
    next();
    if (text_.substr(at_, word.size()) != word) return false;
    at_ += word.size();
    return true;
  }
  std::string_view quoted() {
    if (!take('\'')) return {};
    const std::size_t first = at_;
    while (at_ < text_.size() && text_[at_] != '\'') ++at_;
    const std::string_view inside = text_.substr(first, at_ - first);
    return take('\'') ? inside : std::string_view{};
  }
  bool read_shape() {
    if (!take('(')) return false;
    while (!take(')')) {
      std::uint64_t n = 0;
      std::size_t digits = 0;
      for (; next() >= '0' && next() <= '9'; ++at_, ++digits)
        n = 10 * n + static_cast<std::uint64_t>(text_[at_] - '0');
      if (digits == 0 || digits > 18 || !(take(',') || next() == ')')) return false;
      header_.shape.push_back(n);
    }
    return true;
  }

  std::string_view text_;
  std::size_t at_ = 0;
  NpyHeader header_;
};

inline std::optional<NumberType> npy_type(std::string_view descr) {
  if (descr == "<f2") return NumberType::half;
  if (descr == "<f4") return NumberType::single;
  if (descr == "<f8") return NumberType::twice;
  return std::nullopt;
}

/// `what` begins the sentences about it: "tensor 'in_proj_weight'".
inline StoredTensor parse_npy(const FilePlace& place, const std::string& what, std::string bytes) {
  constexpr std::size_t magic = 8;
  if (bytes.size() < magic + 4 || bytes.substr(0, 6) != "\x93NUMPY" || bytes[6] < 1 || bytes[6] > 3)
    place.bad({"is damaged: ", what, " does not begin as a .npy file does"});
  const std::size_t digits = bytes[6] == 1 ? 2 : 4, first = magic + digits;
  const std::uint64_t length = digits == 2 ? read_little<std::uint16_t>(bytes, magic)
                                           : read_little<std::uint32_t>(bytes, magic);
  if (length > bytes.size() - first)
    place.bad({"is damaged: ", what, " has a header of ", std::to_string(length),
               " bytes, of which not all are there"});
  const std::string_view text =
      std::string_view(bytes).substr(first, static_cast<std::size_t>(length));
  std::optional<NpyHeader> header = NpyHeaderReader(text).read();
  if (!header)
    place.bad({"is damaged: ", what,
               " has a header that is no dictionary of 'descr', "
               "'fortran_order' and 'shape'"});
  const std::optional<NumberType> type = npy_type(header->type);
  if (!type)
    place.bad({"holds ", what, " as '", header->type,
               "'; only little-endian floating-point numbers can be read: <f2, <f4, <f8"});
  bytes.erase(0, first + static_cast<std::size_t>(length));
  if (!fills(header->shape, size_of(*type), bytes.size()))
    place.bad({"is damaged: ", what, " has the shape ", shape_text(header->shape), " and ",
               std::to_string(bytes.size()), " bytes of '", header->type, "', which do not fit"});
  return {*type, std::move(header->shape), header->by_columns, std::move(bytes)};
}

/// The bytes of a .npy file. bfloat16, which NumPy does not know, cannot come here.
inline std::string format_npy(const StoredTensor& tensor) {
  const char* type = tensor.type == NumberType::half     ? "<f2"
                     : tensor.type == NumberType::single ? "<f4"
                                                         : "<f8";
  std::string shape;
  for (const std::uint64_t n : tensor.shape) shape += std::to_string(n) + ", ";
  if (tensor.shape.size() > 1) shape.resize(shape.size() - 2);
  std::string header = std::string("{'descr': '") + type +
                       "', 'fortran_order': " + (tensor.by_columns ? "True" : "False") +
                       ", 'shape': (" + shape + "), }";
  constexpr std::size_t before = 10, alignment = 64;  // of the numbers, for those who map files
  header.append((alignment - (before + header.size() + 1) % alignment) % alignment, ' ');
  header += '\n';
  std::string bytes = "\x93NUMPY\x01";
  bytes += '\0';
  append_little(bytes, static_cast<std::uint16_t>(header.size()));
  return bytes + header + tensor.bytes;
}

}  // namespace engine
ATTN_END_NAMESPACE
