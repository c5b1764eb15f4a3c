// SPDX-License-Identifier: Apache-2.0
// The answer to an image from a file.
#pragma once

#include <ostream>
#include <string>
#include <utility>

#include "../support/cluttered_canvas.hpp"
#include "../support/console_table.hpp"
#include "../support/data_error.hpp"
#include "../support/grey_image.hpp"
#include "../support/png_image.hpp"
#include "canvas_batch.hpp"
#include "region_grid.hpp"
#include "region_model.hpp"
#include "shown_canvas.hpp"

namespace examples {

/// The image in the middle of an empty canvas; one that is larger than the canvas is an error.
inline GreyImage on_canvas(const std::string& name, const GreyImage& image, Index rows,
                           Index columns) {
  if (image.rows > rows || image.columns > columns)
    throw DataError(name, "the image is " + size_text(image.rows, image.columns) +
                              " pixels, and the model reads canvases of " +
                              size_text(rows, columns) + ".");
  GreyImage canvas(rows, columns);
  for (Index row = 0; row < image.rows; ++row)
    for (Index column = 0; column < image.columns; ++column)
      canvas.at((rows - image.rows) / 2 + row, (columns - image.columns) / 2 + column) =
          image.at(row, column);
  return canvas;
}

struct Classified {
  ShownCanvas shown;
  Vector probabilities;  // of the classes
};

/// White on black, as the canvases are.
inline Classified classified(const RegionModel<float>& model, const std::string& path) {
  const RegionShape& shape = model.shape().regions;
  ShownCanvas shown{.image = on_canvas(path, read_png(path), shape.rows, shape.columns),
                    .name = path};
  FeatureMaps<float> maps = empty_maps(1, shape.rows, shape.columns);
  put_image(maps, 0, shown.image);
  const RegionPrediction<float> answer = model.predict(std::move(maps));
  Vector probabilities = answer.probabilities.row(0).transpose();
  shown.confidence = static_cast<double>(probabilities.maxCoeff(&shown.answer));
  const RegionGrid grid(shape);
  shown.weights = Eigen::Map<const Matrix>(answer.weights.data(), grid.rows(), grid.columns());
  return {std::move(shown), std::move(probabilities)};
}

inline void print_answer(std::ostream& out, const Classified& classified, const RegionGrid& grid) {
  const auto& [shown, probabilities] = classified;
  out << '\n' << shown.name << "\n  class " << shown.answer << '\n';
  for (Index c = 0; c < probabilities.size(); ++c)
    out << "  " << fixed(100 * static_cast<double>(probabilities(c)), 1) << " % " << c << '\n';
  Index row = 0, column = 0;
  const float weight = shown.weights.maxCoeff(&row, &column);
  const Box square = grid.square(row * grid.columns() + column);
  out << "  looked most at rows " << square.row << " to " << square.row + square.rows - 1
      << ", columns " << square.column << " to " << square.column + square.columns - 1
      << ": weight " << fixed(static_cast<double>(weight), 3) << '\n';
}

}  // namespace examples
