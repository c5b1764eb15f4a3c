// SPDX-License-Identifier: Apache-2.0
// Reads a tensor from a .npy file (NumPy, format versions 1 to 3), whatever it stores, as double.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include <Eigen/Core>

namespace cases {

using Eigen::Index;

/// Numbers in C order. Doubles hold every float, half, bool and id below 2^53 exactly.
struct Tensor {
  std::vector<Index> shape;
  std::vector<double> numbers;

  Index size() const { return static_cast<Index>(numbers.size()); }
};

inline Index product(const std::vector<Index>& shape) {
  Index size = 1;
  for (const Index n : shape) size *= n;
  return size;
}

namespace npy {

/// What stands behind 'key': in the header, a Python dictionary, up to the comma or bracket.
inline std::string_view entry(std::string_view header, std::string_view key, char end) {
  const std::size_t at = header.find(key);
  const std::size_t colon = header.find(':', at == std::string_view::npos ? header.size() : at);
  if (colon == std::string_view::npos)
    throw std::runtime_error("the header has no " + std::string(key));
  const std::string_view rest = header.substr(colon + 1);
  return rest.substr(0, rest.find(end));
}

inline std::vector<Index> shape_of(std::string_view header) {
  std::vector<Index> shape;
  std::string number;
  for (const char c : std::string(entry(header, "'shape'", ')')) + ",") {
    if (c >= '0' && c <= '9') number += c;
    if (c == ',' && !number.empty()) {
      shape.push_back(static_cast<Index>(std::stoll(number)));
      number.clear();
    }
  }
  return shape;
}

template <class Stored>
std::vector<double> numbers_of(std::string_view bytes, Index count) {
  if (bytes.size() < static_cast<std::size_t>(count) * sizeof(Stored))
    throw std::runtime_error("the file ends before its last number");
  std::vector<double> numbers(static_cast<std::size_t>(count));
  for (std::size_t k = 0; k < numbers.size(); ++k) {
    Stored stored;
    std::memcpy(&stored, bytes.data() + k * sizeof(Stored), sizeof(Stored));
    numbers[k] = static_cast<double>(stored);
  }
  return numbers;
}

inline std::vector<double> numbers_of(const std::string& type, std::string_view bytes,
                                      Index count) {
  if (type == "f8") return numbers_of<double>(bytes, count);
  if (type == "f4") return numbers_of<float>(bytes, count);
  if (type == "f2") return numbers_of<Eigen::half>(bytes, count);
  if (type == "i8") return numbers_of<std::int64_t>(bytes, count);
  if (type == "i4") return numbers_of<std::int32_t>(bytes, count);
  if (type == "u1" || type == "b1") return numbers_of<std::uint8_t>(bytes, count);
  if (type == "i1") return numbers_of<std::int8_t>(bytes, count);
  if (type == "u2" || type == "V2") return numbers_of<std::uint16_t>(bytes, count);
  throw std::runtime_error("numbers of type '" + type + "' are not known here");
}

inline Tensor parse(std::string_view bytes) {
  if (bytes.size() < 12 || bytes.substr(0, 6) != "\x93NUMPY")
    throw std::runtime_error("this is no .npy file");
  const auto byte = [&](std::size_t k) {
    return std::size_t(static_cast<unsigned char>(bytes[k]));
  };
  const bool short_form = byte(6) == 1;
  std::size_t length = byte(8) | byte(9) << 8;
  if (!short_form) length |= byte(10) << 16 | byte(11) << 24;
  const std::size_t start = short_form ? 10 : 12;
  if (bytes.size() < start + length) throw std::runtime_error("the header is cut off");
  const std::string_view header = bytes.substr(start, length);
  if (entry(header, "'fortran_order'", ',').find("True") != std::string_view::npos)
    throw std::runtime_error("Fortran order is not known here");
  const std::string_view type = entry(header, "'descr'", ',');
  const std::size_t order = type.find_first_of("<|");  // little-endian, or single bytes
  if (order == std::string_view::npos || order + 3 > type.size())
    throw std::runtime_error("big-endian numbers are not known here");
  Tensor tensor{shape_of(header), {}};
  tensor.numbers = numbers_of(std::string(type.substr(order + 1, 2)), bytes.substr(start + length),
                              product(tensor.shape));
  return tensor;
}

}  // namespace npy

inline Tensor read_npy(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw std::runtime_error(path.string() + ": cannot be opened");
  const std::string bytes{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  try {
    return npy::parse(bytes);
  } catch (const std::runtime_error& error) {
    throw std::runtime_error(path.string() + ": " + error.what());
  }
}

}  // namespace cases
