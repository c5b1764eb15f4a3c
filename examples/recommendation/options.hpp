// SPDX-License-Identifier: Apache-2.0
// The command line of the recommender.
#pragma once

#include <string>

#include "../support/parsed.hpp"
#include "../support/text_file.hpp"
#include "settings.hpp"

namespace examples {

struct Options {
  std::string ratings;  // a file; empty: a catalogue is made up
  std::string titles;
  Encoding encoding = Encoding::kUtf8;
  Index min_ratings = 5;
  Index made_up_users = 4000;
  RecommenderShape shape{};
  TrainingOptions training{};
  std::string save;
  std::string load;
  std::string metrics;
  std::string page = "attention.html";
  std::string user;
  bool quiet = false;
};

using ParsedOptions = Parsed<Options>;

/// Prints help, or one sentence on what is wrong.
ParsedOptions parse_options(int argc, const char* const* argv);

}  // namespace examples
