// SPDX-License-Identifier: Apache-2.0
// The command line of the bags of images.
#pragma once

#include <optional>
#include <string>

#include "../support/image_files.hpp"
#include "experiment.hpp"

namespace examples {

struct Options {
  ImageFiles files{};
  ExperimentOptions experiment{};
  std::string metrics;
  std::string page = "attention.html";
  bool quiet = false;
};

struct ParsedOptions {
  Options options;
  std::optional<int> exit_code{};  // set where there is nothing left to do
};

/// Prints help, or one sentence on what is wrong.
ParsedOptions parse_options(int argc, const char* const* argv);

}  // namespace examples
