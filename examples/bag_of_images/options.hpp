// SPDX-License-Identifier: Apache-2.0
// The command line of the bags of images.
#pragma once

#include <string>

#include "../support/image_files.hpp"
#include "../support/parsed.hpp"
#include "settings.hpp"

namespace examples {

struct Options {
  ImageFiles files{};
  ExperimentOptions experiment{};
  std::string metrics;
  std::string page = "attention.html";
  bool quiet = false;
};

using ParsedOptions = Parsed<Options>;

/// Prints help, or one sentence on what is wrong.
ParsedOptions parse_options(int argc, const char* const* argv);

}  // namespace examples
