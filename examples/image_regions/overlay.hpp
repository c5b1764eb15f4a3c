// SPDX-License-Identifier: Apache-2.0
// Heat maps as pictures: each canvas beside itself under its weights, several on a sheet.
//
//     pixel = (1 - a) grey + a heat,   a = 0.8 alpha_j / max alpha
//
// One hue over grey, so that it is lightness and saturation that tell, and not red from green.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>

#include "../support/grey_image.hpp"
#include "../support/matrix.hpp"
#include "shown_canvas.hpp"

namespace examples {
namespace detail {

using Colour = std::array<float, 3>;
inline constexpr Colour kHeat{255, 140, 30};
inline constexpr Colour kBoxColour{120, 190, 255};

inline Colour blend(const Colour& a, const Colour& b, float share) {
  Colour mixed{};
  for (std::size_t c = 0; c < 3; ++c) mixed[c] = (1 - share) * a[c] + share * b[c];
  return mixed;
}

inline void set_pixel(ColourImage& image, Index row, Index column, const Colour& colour) {
  const auto at = static_cast<std::size_t>(3 * (row * image.columns + column));
  for (std::size_t c = 0; c < 3; ++c)
    image.pixels[at + c] = static_cast<std::uint8_t>(std::lround(colour[c]));
}

inline Colour grey_at(const GreyImage& image, Index row, Index column) {
  const float level = image.at(row, column);
  return {level, level, level};
}

/// The weight of the region at a pixel.
inline float weight_at(const ShownCanvas& shown, Index row, Index column) {
  return shown.weights(row * shown.weights.rows() / shown.image.rows,
                       column * shown.weights.cols() / shown.image.columns);
}

/// Whether an enlarged pixel lies on the outline of the box.
inline bool is_on_outline(const Box& box, Index scale, Index row, Index column) {
  const auto edge = [&](Index at, Index first, Index count) {
    return at == first * scale || at == (first + count) * scale - 1;
  };
  const auto within = [&](Index at, Index first, Index count) {
    return at >= first * scale && at < (first + count) * scale;
  };
  return (edge(row, box.row, box.rows) && within(column, box.column, box.columns)) ||
         (edge(column, box.column, box.columns) && within(row, box.row, box.rows));
}

/// Between a canvas and its heat map.
inline constexpr Index kSeam = 2;

/// The canvas at (top, left) of the sheet, and to the right of it the canvas with its weights.
inline void put_tile(ColourImage& sheet, const ShownCanvas& shown, Index scale, Index top,
                     Index left) {
  constexpr float kMost = .8f;
  const float heaviest = std::max(shown.weights.maxCoeff(), std::numeric_limits<float>::min());
  const Index width = shown.image.columns * scale;
  for (Index row = 0; row < shown.image.rows * scale; ++row)
    for (Index column = 0; column < width; ++column) {
      const Colour grey = grey_at(shown.image, row / scale, column / scale);
      set_pixel(sheet, top + row, left + column, grey);
      const float heat = weight_at(shown, row / scale, column / scale) / heaviest;
      Colour colour = blend(grey, kHeat, kMost * heat);
      if (shown.box && is_on_outline(*shown.box, scale, row, column)) colour = kBoxColour;
      set_pixel(sheet, top + row, left + width + kSeam + column, colour);
    }
}

}  // namespace detail

/// Pairs of canvas and heat map, four to a line; all canvases must have one size.
inline ColourImage overlay_sheet(std::span<const ShownCanvas> shown) {
  constexpr Index kAcross = 4, kGap = 8, kSide = 120;
  if (shown.empty()) return {};
  const Index rows = shown[0].image.rows, columns = shown[0].image.columns;
  const Index scale = std::max<Index>(1, kSide / std::max(rows, columns));
  const auto count = static_cast<Index>(shown.size());
  const Index across = std::min(kAcross, count), down = (count + kAcross - 1) / kAcross;
  ColourImage sheet{kGap + down * (rows * scale + kGap),
                    kGap + across * (2 * columns * scale + detail::kSeam + kGap),
                    {}};
  sheet.pixels.assign(static_cast<std::size_t>(3 * sheet.rows * sheet.columns), 255);
  for (Index i = 0; i < count; ++i)
    detail::put_tile(sheet, shown[static_cast<std::size_t>(i)], scale,
                     kGap + i / kAcross * (rows * scale + kGap),
                     kGap + i % kAcross * (2 * columns * scale + detail::kSeam + kGap));
  return sheet;
}

}  // namespace examples
