// SPDX-License-Identifier: Apache-2.0
// The command line of the alignment example.
#pragma once

#include <string>
#include <vector>

#include "../support/parsed.hpp"
#include "dates.hpp"
#include "pair_reader.hpp"
#include "settings.hpp"

namespace examples {

struct Options {
  PairOptions pairs{};  // without a path dates are made up
  DateOptions dates{};
  TranslatorShape shape{};
  TrainingOptions training{};
  bool baseline = true;
  std::string save;
  std::string load;
  std::vector<std::string> translate;
  std::string metrics;
  std::string page = "attention.html";
  std::string chart = "lengths.svg";
  bool quiet = false;
};

using ParsedOptions = Parsed<Options>;

/// Prints help, or one sentence on what is wrong.
ParsedOptions parse_options(int argc, const char* const* argv);

}  // namespace examples
