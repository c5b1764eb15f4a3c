// SPDX-License-Identifier: Apache-2.0
// The objects of a run and the canvases on which they lie: to learn from, to judge epochs by, to
// test with. Sizes that nobody gave follow from the objects.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "../support/cluttered_canvas.hpp"
#include "../support/data_error.hpp"
#include "../support/drawn_digits.hpp"
#include "../support/grey_image.hpp"
#include "../support/image_files.hpp"
#include "../support/random.hpp"
#include "options.hpp"
#include "region_shape.hpp"

namespace examples {

/// Reads the files, or draws digits, of which the last sixth tests.
inline ImageData find_images(const Options& options) {
  if (options.files.any()) return read_images(options.files);
  const Index tested = options.drawn / 6;
  const auto draw = [&](Index count, std::uint64_t part) {
    return drawn_images({.count = count,
                         .size = options.drawn_size,
                         .seed = seed_of_part(options.training.seed, part)});
  };
  return {draw(options.drawn - tested, 10), draw(tested, 11)};
}

/// Takes a tenth of the images away, 2000 at most, drawn at random since files may be sorted.
inline LabelledImages split_off_validation(LabelledImages& train, std::uint64_t seed) {
  constexpr Index kMost = 2000, kFewest = 10;
  if (train.size() < kFewest)
    throw DataError("there are " + std::to_string(train.size()) + " images to learn from; " +
                    std::to_string(kFewest) + " or more are needed.");
  std::vector<std::size_t> order(train.images.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  Random(seed).shuffle(order);
  const auto taken = static_cast<std::size_t>(std::min(train.size() / 10, kMost));
  LabelledImages kept{train.rows, train.columns, {}, {}}, validation = kept;
  for (std::size_t i = 0; i < order.size(); ++i) {
    LabelledImages& to = i < taken ? validation : kept;
    to.images.push_back(std::move(train.images[order[i]]));
    to.labels.push_back(train.labels[order[i]]);
  }
  train = std::move(kept);
  return validation;
}

/// Objects of 20 pixels and more are seen in steps of 4 pixels, or 6 from patch to patch.
inline Index default_stride(FeatureKind features, Index object) {
  constexpr Index kLarge = 20;
  if (object < kLarge) return 2;
  return features == FeatureKind::kPatches ? 6 : 4;
}

/// Six sevenths of the object, since a patch that is a little off must not lose much of it.
inline Index default_patch(Index object, Index stride) {
  const Index side = std::max(stride, object - object / 7);
  return side - (side - stride) % 2;
}

/// The published sizes, on a canvas that the stride divides.
inline CanvasShape chosen_canvas(const CanvasOptions& options, Index object, Index stride) {
  CanvasShape shape = canvas_shape_for(object);
  shape.size = options.size.value_or((shape.size + stride - 1) / stride * stride);
  shape.pieces = options.pieces.value_or(shape.pieces);
  shape.piece_size = options.piece_size.value_or(shape.piece_size);
  return shape;
}

/// As many epochs as show 240,000 canvases, within limits; drawn digits are for a look, and
/// get fewer.
inline Index default_epochs(Index images, bool drawn) {
  constexpr Index kCanvases = 240000, kDrawnCanvases = 40000, kFewest = 3, kMost = 40;
  const Index canvases = drawn ? kDrawnCanvases : kCanvases;
  return std::clamp(canvases / std::max<Index>(images, 1), kFewest, kMost);
}

/// Settles what follows from the number of pixels along an object: all of the shape's sizes in
/// pixels. A loaded model has its own.
inline CanvasShape settle_sizes(Options& options, bool is_loaded, Index object) {
  RegionShape& regions = options.shape.regions;
  if (is_loaded) {
    options.canvas.size = regions.rows;
    return chosen_canvas(options.canvas, object, regions.stride);
  }
  regions.stride = options.canvas.stride.value_or(default_stride(regions.features, object));
  regions.patch = options.canvas.patch.value_or(default_patch(object, regions.stride));
  const CanvasShape canvas = chosen_canvas(options.canvas, object, regions.stride);
  regions.rows = regions.columns = canvas.size;
  const std::string wrong = contradiction(options.shape);
  if (!wrong.empty()) throw DataError(wrong);
  return canvas;
}

class CanvasData {
 public:
  /// Settles the sizes that are open in the options.
  CanvasData(Options& options, bool is_loaded)
      : images_(find_images(options)),
        validation_images_(split_off_validation(images_.train, options.training.seed)),
        shape_(settle_sizes(options, is_loaded, object_size())),
        train_(images_.train, shape_, seed_of_part(options.training.seed, 0)),
        validation_(validation_images_, shape_, seed_of_part(options.training.seed, 1)),
        test_(images_.test, shape_, seed_of_part(options.training.seed, 2)) {
    settle_rest(options, is_loaded);
  }
  CanvasData(const CanvasData&) = delete;  // the canvases refer to the images
  CanvasData& operator=(const CanvasData&) = delete;

  const CanvasShape& shape() const { return shape_; }
  const ClutteredCanvases& train() const { return train_; }
  const ClutteredCanvases& validation() const { return validation_; }
  const ClutteredCanvases& test() const { return test_; }

  Index object_size() const { return std::max(images_.train.rows, images_.train.columns); }
  double box_share() const { return shape_.share(images_.train.rows, images_.train.columns); }

 private:
  /// Classes and epochs, and whether a loaded model knows the classes.
  void settle_rest(Options& options, bool is_loaded) const {
    const Index classes =
        std::max({images_.train.classes(), validation_images_.classes(), images_.test.classes()});
    if (is_loaded && classes > options.shape.classes)
      throw DataError("the images have " + std::to_string(classes) +
                      " classes, and the loaded model knows " +
                      std::to_string(options.shape.classes) + ".");
    if (!is_loaded) options.shape.classes = classes;
    options.training.epochs =
        options.canvas.epochs.value_or(default_epochs(train_.size(), !options.files.any()));
  }

  ImageData images_;
  LabelledImages validation_images_;
  CanvasShape shape_;
  ClutteredCanvases train_;
  ClutteredCanvases validation_;
  ClutteredCanvases test_;
};

}  // namespace examples
