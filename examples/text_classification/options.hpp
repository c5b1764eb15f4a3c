// SPDX-License-Identifier: Apache-2.0
// The command line of text_classification.
#pragma once

#include <string>
#include <vector>

#include "../support/parsed.hpp"
#include "settings.hpp"

namespace examples {

struct Options {
  DataOptions data{};
  ModelOptions model{};
  WantedShape wanted{};  // what of the shape was given by hand
  std::string word_vectors;
  std::string save;
  std::string load;
  std::string metrics;
  std::string page = "attention.html";
  std::vector<std::string> classify;
  bool baselines = true;
  bool quiet = false;
};

using ParsedOptions = Parsed<Options>;

ParsedOptions parse_options(int argc, const char* const* argv);

}  // namespace examples
