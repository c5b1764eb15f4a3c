// SPDX-License-Identifier: Apache-2.0
// Canvases as a model takes them, with the answers and where the objects are.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "../support/cluttered_canvas.hpp"
#include "../support/convolution.hpp"
#include "../support/grey_image.hpp"
#include "../support/matrix.hpp"

namespace examples {

struct CanvasBatch {
  FeatureMaps<float> maps;
  std::vector<Index> labels;
  std::vector<Box> boxes;
};

/// Room for `images` images with one channel.
inline FeatureMaps<float> empty_maps(Index images, Index rows, Index columns) {
  return {images, rows, columns, Matrix(images * rows * columns, 1)};
}

inline void put_image(FeatureMaps<float>& maps, Index number, const GreyImage& image) {
  maps.values.middleRows(number * maps.pixels(), maps.pixels()) = scaled_pixels(image).transpose();
}

/// The canvases of the chosen objects. `version` makes others of the same objects.
inline CanvasBatch make_batch(const ClutteredCanvases& canvases, std::span<const Index> chosen,
                              std::uint64_t version) {
  const Index side = canvases.shape().size;
  CanvasBatch batch{empty_maps(static_cast<Index>(chosen.size()), side, side), {}, {}};
  for (std::size_t i = 0; i < chosen.size(); ++i) {
    const Canvas canvas = canvases.make(chosen[i], static_cast<Index>(version >> 1));
    put_image(batch.maps, static_cast<Index>(i), canvas.image);
    batch.labels.push_back(canvas.label);
    batch.boxes.push_back(canvas.box);
  }
  return batch;
}

}  // namespace examples
