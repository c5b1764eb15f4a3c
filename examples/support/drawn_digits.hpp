// SPDX-License-Identifier: Apache-2.0
// Digits and shapes that the program draws itself, so that image examples need no file: strokes
// with random width, slant, size, position and wobble, anti-aliased.
//
//     stroke points in the unit square -> wobble -> slant and turn -> pixels
//     ink = clamp(width / 2 + 1/2 - distance of the pixel's centre from the stroke, 0, 1)
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numbers>
#include <vector>

#include "grey_image.hpp"
#include "matrix.hpp"
#include "random.hpp"

namespace examples {

/// Symbols 0 to 9 are the digits; triangle, square, cross and star follow.
inline constexpr Index kDrawnDigits = 10;
inline constexpr Index kDrawnSymbols = 14;

/// x to the right and y downwards, 0 to 1.
struct StrokePoint {
  float x = 0;
  float y = 0;
};
using Stroke = std::vector<StrokePoint>;

namespace detail {

/// Appends part of an ellipse; angles in degrees, from the right over the bottom to the left.
inline void append_arc(Stroke& stroke, StrokePoint centre, float width, float height, float from,
                       float to) {
  constexpr int kSteps = 14;
  for (int i = 0; i <= kSteps; ++i) {
    const float degrees = from + (to - from) * static_cast<float>(i) / kSteps;
    const float angle = degrees * std::numbers::pi_v<float> / 180;
    stroke.push_back({centre.x + width * std::cos(angle), centre.y + height * std::sin(angle)});
  }
}

inline Stroke arc(StrokePoint centre, float width, float height, float from, float to) {
  Stroke stroke;
  append_arc(stroke, centre, width, height, from, to);
  return stroke;
}

inline Stroke two() {
  Stroke stroke = arc({.5f, .3f}, .3f, .24f, 190, 385);
  stroke.push_back({.18f, .92f});
  stroke.push_back({.84f, .92f});
  return stroke;
}

inline Stroke three() {
  Stroke stroke = arc({.46f, .28f}, .28f, .21f, 205, 450);
  append_arc(stroke, {.46f, .71f}, .32f, .22f, 270, 515);
  return stroke;
}

inline Stroke five() {
  Stroke stroke{{.78f, .08f}, {.3f, .08f}, {.25f, .47f}};
  append_arc(stroke, {.48f, .66f}, .3f, .26f, 225, 500);
  return stroke;
}

inline Stroke six() {
  Stroke stroke{{.68f, .07f}, {.42f, .26f}, {.26f, .5f}};
  append_arc(stroke, {.5f, .68f}, .29f, .24f, 180, 540);
  return stroke;
}

inline Stroke nine() {
  Stroke stroke = arc({.5f, .32f}, .28f, .24f, 0, 360);
  stroke.push_back({.75f, .62f});
  stroke.push_back({.6f, .93f});
  return stroke;
}

/// A closed line through `corners` points of a circle, of which `step` lie between neighbours.
inline Stroke polygon(int corners, int step, float first_degrees) {
  Stroke stroke;
  for (int i = 0; i <= corners; ++i) {
    const float degrees =
        first_degrees + 360.f * static_cast<float>(i * step) / static_cast<float>(corners);
    const float angle = degrees * std::numbers::pi_v<float> / 180;
    stroke.push_back({.5f + .46f * std::cos(angle), .5f + .46f * std::sin(angle)});
  }
  return stroke;
}

}  // namespace detail

/// How a symbol is written by someone with a steady hand.
inline std::vector<Stroke> symbol_strokes(Index symbol) {
  using namespace detail;
  switch (symbol) {
    case 0:
      return {arc({.5f, .5f}, .31f, .44f, -90, 270)};
    case 1:
      return {{{.32f, .28f}, {.56f, .07f}, {.56f, .93f}}};
    case 2:
      return {two()};
    case 3:
      return {three()};
    case 4:
      return {{{.62f, .93f}, {.62f, .07f}, {.16f, .64f}, {.86f, .64f}}};
    case 5:
      return {five()};
    case 6:
      return {six()};
    case 7:
      return {{{.17f, .09f}, {.83f, .09f}, {.4f, .93f}}};
    case 8:
      return {arc({.5f, .28f}, .24f, .21f, 90, 450), arc({.5f, .71f}, .29f, .22f, -90, 270)};
    case 9:
      return {nine()};
    case 10:
      return {polygon(3, 1, -90)};
    case 11:
      return {polygon(4, 1, -45)};
    case 12:
      return {{{.12f, .12f}, {.88f, .88f}}, {{.88f, .12f}, {.12f, .88f}}};
    default:
      return {polygon(5, 2, -90)};
  }
}

/// What changes from one drawing to the next.
class Handwriting {
 public:
  Handwriting(Index size, Random& random)
      : size_(static_cast<float>(size)),
        width_(size_ * between(random, .055f, .13f)),
        ink_(between(random, .7f, 1)),
        slant_(between(random, -.3f, .35f)),
        turn_(between(random, -.22f, .22f)),
        wide_(between(random, .48f, .76f)),
        tall_(between(random, .58f, .8f)),
        shift_{between(random, -.1f, .1f), between(random, -.1f, .1f)} {
    for (Wave& wave : waves_)
      wave = {between(random, 0, .055f), between(random, -5, 5), between(random, -5, 5),
              between(random, 0, 2 * std::numbers::pi_v<float>)};
  }

  /// In pixels.
  float width() const { return width_; }
  /// Of the middle of a stroke, 0 to 1.
  float ink() const { return ink_; }

  /// Where a point of a symbol comes to lie, in pixels.
  StrokePoint place(StrokePoint p) const {
    const float x = (p.x - .5f + waves_[0].at(p)) * wide_;
    const float y = (p.y - .5f + waves_[1].at(p)) * tall_;
    const float slanted = x - slant_ * y;
    const float c = std::cos(turn_), s = std::sin(turn_);
    return {size_ * (.5f + c * slanted - s * y + shift_.x),
            size_ * (.5f + s * slanted + c * y + shift_.y)};
  }

 private:
  struct Wave {
    float height = 0, along_x = 0, along_y = 0, phase = 0;
    float at(StrokePoint p) const {
      return height * std::sin(along_x * p.x + along_y * p.y + phase);
    }
  };

  static float between(Random& random, float least, float most) {
    return least + (most - least) * random.uniform();
  }

  float size_, width_, ink_, slant_, turn_, wide_, tall_;
  StrokePoint shift_;
  Wave waves_[2];
};

/// Draws a straight piece of a stroke; where pieces overlap the darker one counts.
inline void draw_segment(GreyImage& image, StrokePoint a, StrokePoint b, float width, float ink) {
  const float reach = width / 2 + .5f;
  const auto clamped = [](float pixel, Index size) {
    return std::clamp<Index>(static_cast<Index>(std::floor(pixel)), 0, size - 1);
  };
  const float dx = b.x - a.x, dy = b.y - a.y, square = std::max(dx * dx + dy * dy, 1e-12f);
  const Index last_row = clamped(std::max(a.y, b.y) + reach, image.rows);
  const Index last_column = clamped(std::max(a.x, b.x) + reach, image.columns);
  for (Index row = clamped(std::min(a.y, b.y) - reach, image.rows); row <= last_row; ++row) {
    for (Index column = clamped(std::min(a.x, b.x) - reach, image.columns); column <= last_column;
         ++column) {
      const float x = static_cast<float>(column) + .5f - a.x;
      const float y = static_cast<float>(row) + .5f - a.y;
      const float along = std::clamp((x * dx + y * dy) / square, 0.f, 1.f);
      const float distance = std::hypot(x - along * dx, y - along * dy);
      const float covered = std::clamp(reach - distance, 0.f, 1.f) * ink;
      const auto value = static_cast<std::uint8_t>(std::lround(255 * covered));
      image.at(row, column) = std::max(image.at(row, column), value);
    }
  }
}

/// A symbol in an image of `size` x `size` pixels.
inline GreyImage draw_symbol(Index symbol, Index size, Random& random) {
  const Handwriting hand(size, random);
  GreyImage image(size, size);
  for (const Stroke& stroke : symbol_strokes(symbol)) {
    for (std::size_t i = 0; i + 1 < stroke.size(); ++i)
      draw_segment(image, hand.place(stroke[i]), hand.place(stroke[i + 1]), hand.width(),
                   hand.ink());
  }
  return image;
}

struct DrawnSet {
  Index count = 0;
  Index size = 28;               // rows and columns of each image
  Index symbols = kDrawnDigits;  // classes, in turn
  std::uint64_t seed = 1;
};

inline LabelledImages drawn_images(const DrawnSet& set) {
  LabelledImages drawn{set.size, set.size, {}, {}};
  for (Index i = 0; i < set.count; ++i) {
    Random random(seed_of_part(set.seed, static_cast<std::uint64_t>(i)));
    drawn.labels.push_back(i % set.symbols);
    drawn.images.push_back(draw_symbol(i % set.symbols, set.size, random));
  }
  return drawn;
}

}  // namespace examples
