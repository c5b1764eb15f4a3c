// SPDX-License-Identifier: Apache-2.0
// The command line of image_regions.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "../support/cluttered_canvas.hpp"
#include "../support/image_files.hpp"
#include "../support/parsed.hpp"
#include "../support/training_loop.hpp"
#include "region_shape.hpp"

namespace examples {

/// What was given by hand of that which otherwise follows from the images.
struct CanvasOptions {
  std::optional<Index> size{};
  std::optional<Index> pieces{};
  std::optional<Index> piece_size{};
  std::optional<Index> stride{};
  std::optional<Index> patch{};
  std::optional<Index> epochs{};
};

struct Options {
  ImageFiles files{};
  Index drawn = 4000;     // digits to draw where there is no file
  Index drawn_size = 28;  // pixels along their sides
  CanvasOptions canvas{};
  RegionModelShape shape{};
  TrainingLoopOptions training{.adam = {.learning_rate = 3e-3f}};
  std::string save;
  std::string load;
  std::vector<std::string> classify;
  std::string metrics;
  std::string page = "attention.html";
  std::string pictures = "attention";
  bool baselines = true;
  bool quiet = false;
};

using ParsedOptions = Parsed<Options>;

ParsedOptions parse_options(int argc, const char* const* argv);

}  // namespace examples
