// SPDX-License-Identifier: Apache-2.0
// Images as the examples hold them: bytes, row by row, 0 is background and 255 is ink.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "data_error.hpp"
#include "matrix.hpp"

namespace examples {

/// An image of more rows or columns than this is taken for damage before memory is asked for.
inline constexpr Index kLargestImageSide = 4096;

struct GreyImage {
  Index rows = 0;
  Index columns = 0;
  std::vector<std::uint8_t> pixels;  // rows x columns

  GreyImage() = default;
  /// All background.
  GreyImage(Index rows_, Index columns_)
      : rows(rows_), columns(columns_), pixels(static_cast<std::size_t>(rows_ * columns_), 0) {}

  std::uint8_t& at(Index row, Index column) {
    return pixels[static_cast<std::size_t>(row * columns + column)];
  }
  std::uint8_t at(Index row, Index column) const {
    return pixels[static_cast<std::size_t>(row * columns + column)];
  }
  bool operator==(const GreyImage&) const = default;
};

/// Red, green and blue of every pixel.
struct ColourImage {
  Index rows = 0;
  Index columns = 0;
  std::vector<std::uint8_t> pixels;  // rows x columns x 3
};

/// The pixels as one row of numbers between 0 and 1.
template <typename T = float>
auto scaled_pixels(const GreyImage& image) {
  using Bytes = Eigen::Matrix<std::uint8_t, 1, Eigen::Dynamic>;
  return Eigen::Map<const Bytes>(image.pixels.data(), image.rows * image.columns)
             .template cast<T>() /
         T(255);
}

/// Images of one size, each with its class: 0, 1, ...
struct LabelledImages {
  Index rows = 0;
  Index columns = 0;
  std::vector<GreyImage> images;
  std::vector<Index> labels;

  Index size() const { return static_cast<Index>(images.size()); }
  /// One more than the highest class.
  Index classes() const {
    Index count = 0;
    for (const Index label : labels) count = label < count ? count : label + 1;
    return count;
  }
};

/// "28 x 28", for sentences.
inline std::string size_text(Index rows, Index columns) {
  return std::to_string(rows) + " x " + std::to_string(columns);
}

}  // namespace examples
