// SPDX-License-Identifier: Apache-2.0
// A canvas as page and picture show it: what it is, what was answered, what was looked at.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "../support/cluttered_canvas.hpp"
#include "../support/grey_image.hpp"
#include "../support/matrix.hpp"
#include "training.hpp"

namespace examples {

struct ShownCanvas {
  GreyImage image{};
  std::string name{};            // of the file; empty for a canvas of the test set
  std::optional<Index> truth{};  // unknown for a file
  std::optional<Box> box{};      // of the object
  Index answer = 0;
  double confidence = 0;  // the probability of the answer
  Matrix weights{};       // a row of the grid a row

  bool is_right() const { return truth == answer; }
};

/// The first `count` test canvases that were answered rightly, or wrongly.
inline std::vector<ShownCanvas> shown_canvases(const Evaluation& evaluation,
                                               const ClutteredCanvases& canvases,
                                               const RegionGrid& grid, bool right,
                                               std::size_t count) {
  std::vector<ShownCanvas> shown;
  for (Index i = 0; i < evaluation.weights.rows() && shown.size() < count; ++i) {
    const auto at = static_cast<std::size_t>(i);
    if ((evaluation.labels[at] == evaluation.predictions[at]) != right) continue;
    Canvas canvas = canvases.make(i);
    const auto weights =
        Eigen::Map<const Matrix>(evaluation.weights.row(i).data(), grid.rows(), grid.columns());
    shown.push_back({std::move(canvas.image), "", canvas.label, canvas.box,
                     evaluation.predictions[at], static_cast<double>(evaluation.confidences[at]),
                     weights});
  }
  return shown;
}

}  // namespace examples
