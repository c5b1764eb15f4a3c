// SPDX-License-Identifier: Apache-2.0
// The command line of the character model.
#pragma once

#include <optional>
#include <string>

#include "../support/parsed.hpp"
#include "../support/text_file.hpp"
#include "settings.hpp"

namespace examples {

struct Options {
  std::string text;  // a file; empty: the text is made up
  Encoding encoding = Encoding::kUtf8;
  DecoderShape shape{};
  TrainingOptions training{};
  SamplingOptions sampling{};
  std::optional<std::string> prompt;
  std::string save;
  std::string load;
  std::string metrics;
  std::string page = "loss.html";
  bool quiet = false;
};

using ParsedOptions = Parsed<Options>;

/// Prints help, or one sentence on what is wrong.
ParsedOptions parse_options(int argc, const char* const* argv);

}  // namespace examples
