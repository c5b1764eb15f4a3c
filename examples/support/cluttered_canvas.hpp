// SPDX-License-Identifier: Apache-2.0
// Cluttered canvases: an object at a random place among pieces of other objects, on a larger image.
//
//     canvas of zeros; the object somewhere; `pieces` squares cut from other objects, somewhere;
//     where they overlap the darker pixel counts
//
// Canvases are made when they are asked for. One of them depends on the seed, its number and the
// epoch alone, not on which thread makes it or when.
//
// Source: Mnih, Heess, Graves and Kavukcuoglu 2014, section 4.1 (60 x 60, four pieces of 8 x 8).
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>

#include "data_error.hpp"
#include "grey_image.hpp"
#include "random.hpp"

namespace examples {

/// Pixels `row` to `row + rows - 1`, and so the columns.
struct Box {
  Index row = 0;
  Index column = 0;
  Index rows = 0;
  Index columns = 0;

  /// Whether a point lies inside; the middle of the pixel at row 3 is at 3.5.
  bool contains(double y, double x) const {
    const auto inside = [](double at, Index first, Index count) {
      return at >= static_cast<double>(first) && at < static_cast<double>(first + count);
    };
    return inside(y, row, rows) && inside(x, column, columns);
  }
};

struct CanvasShape {
  Index size = 60;  // rows and columns
  Index pieces = 4;
  Index piece_size = 8;

  /// The share of the canvas that an object takes: how often a random point lies in its box.
  double share(Index object_rows, Index object_columns) const {
    return static_cast<double>(object_rows * object_columns) / static_cast<double>(size * size);
  }
};

/// The published sizes for objects of 28 pixels, and in their proportions for others; small objects
/// get canvases of three times their size and pieces of half of it, since little would be left of
/// pieces of 2 x 2 pixels.
inline CanvasShape canvas_shape_for(Index object_size) {
  constexpr Index kObject = 28, kCanvas = 60, kPiece = 8, kPieces = 4, kSmall = 16;
  if (object_size < kSmall) return {3 * object_size, kPieces, std::max<Index>(1, object_size / 2)};
  return {object_size * kCanvas / kObject, kPieces, object_size * kPiece / kObject};
}

struct Canvas {
  GreyImage image;
  Box box;  // of the object
  Index label = 0;
};

class ClutteredCanvases {
 public:
  /// Refers to `objects`, which must outlive it.
  ClutteredCanvases(const LabelledImages& objects, const CanvasShape& shape, std::uint64_t seed)
      : objects_(objects), shape_(shape), seed_(seed) {
    const Index largest = std::max(objects.rows, objects.columns);
    if (shape.size < largest)
      throw DataError("a canvas of " + size_text(shape.size, shape.size) +
                      " pixels cannot hold an image of " +
                      size_text(objects.rows, objects.columns) + " pixels.");
    if (shape.pieces > 0 && shape.piece_size > std::min(objects.rows, objects.columns))
      throw DataError("pieces of " + size_text(shape.piece_size, shape.piece_size) +
                      " pixels cannot be cut from images of " +
                      size_text(objects.rows, objects.columns) + " pixels.");
  }

  Index size() const { return objects_.size(); }
  const CanvasShape& shape() const { return shape_; }

  /// Object `index` on a canvas of its own for each epoch.
  Canvas make(Index index, Index epoch = 0) const {
    const auto part = [](Index i) { return static_cast<std::uint64_t>(i); };
    Random random(seed_of_part(seed_of_part(seed_, part(index)), part(epoch)));
    Canvas canvas{GreyImage(shape_.size, shape_.size), {}, label(index)};
    const Box whole{0, 0, objects_.rows, objects_.columns};
    canvas.box = put(canvas.image, object(index), whole, random);
    for (Index i = 0; i < shape_.pieces; ++i) {
      const GreyImage& from = object(other(index, random));
      const Index piece = shape_.piece_size;
      const Index row = below(random, from.rows - piece + 1);
      const Index column = below(random, from.columns - piece + 1);
      put(canvas.image, from, {row, column, piece, piece}, random);
    }
    return canvas;
  }

 private:
  static Index below(Random& random, Index n) {
    return static_cast<Index>(random.below(static_cast<std::size_t>(n)));
  }

  const GreyImage& object(Index index) const {
    return objects_.images[static_cast<std::size_t>(index)];
  }
  Index label(Index index) const { return objects_.labels[static_cast<std::size_t>(index)]; }

  /// Any object but this one, where there is another.
  Index other(Index index, Random& random) const {
    if (size() == 1) return index;
    return (index + 1 + below(random, size() - 1)) % size();
  }

  /// Puts `part` of an image somewhere and says where.
  static Box put(GreyImage& canvas, const GreyImage& from, const Box& part, Random& random) {
    const Index row = below(random, canvas.rows - part.rows + 1);
    const Index column = below(random, canvas.columns - part.columns + 1);
    for (Index r = 0; r < part.rows; ++r) {
      for (Index c = 0; c < part.columns; ++c) {
        std::uint8_t& pixel = canvas.at(row + r, column + c);
        pixel = std::max(pixel, from.at(part.row + r, part.column + c));
      }
    }
    return {row, column, part.rows, part.columns};
  }

  const LabelledImages& objects_;
  CanvasShape shape_;
  std::uint64_t seed_;
};

}  // namespace examples
