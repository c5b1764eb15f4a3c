// SPDX-License-Identifier: Apache-2.0
// The command line of text_classification.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "datasets.hpp"
#include "experiment.hpp"
#include "saved_model.hpp"

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

/// The options, or the exit code where the command line ends the program: 0 after --help, 2 after
/// one sentence about what is wrong.
struct ParsedOptions {
  Options options{};
  std::optional<int> exit_code{};
};

ParsedOptions parse_options(int argc, const char* const* argv);

}  // namespace examples
