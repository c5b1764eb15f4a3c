// SPDX-License-Identifier: Apache-2.0
// Options as all examples declare and read them; CLI11 does the parsing.
#pragma once

#include <CLI/CLI.hpp>
#include <cmath>
#include <cstdlib>
#include <initializer_list>
#include <iostream>
#include <optional>
#include <string>
#include <utility>

#include "data_error.hpp"

namespace examples {

/// Declares options under one heading of the help.
class OptionGroup {
 public:
  OptionGroup(CLI::App& app, std::string name) : app_(app), name_(std::move(name)) {}

  /// An option whose default the help shows.
  template <typename T>
  CLI::Option* operator()(const char* option, T& value, const char* text) {
    return plain(option, value, text)->capture_default_str();
  }
  /// One without a default worth showing, such as a file.
  template <typename T>
  CLI::Option* plain(const char* option, T& value, const char* text) {
    return app_.add_option(option, value, text)->group(name_);
  }
  CLI::Option* flag(const char* option, bool& value, const char* text) {
    return app_.add_flag(option, value, text)->group(name_);
  }

 private:
  CLI::App& app_;
  std::string name_;
};

/// Where an option is given NaN, which every range lets through: a sentence about it.
inline std::string refused_nan(const CLI::App& app) {
  for (const CLI::Option* option : app.get_options()) {
    if (!option->get_type_name().starts_with("FLOAT")) continue;
    for (const std::string& value : option->results())
      if (std::isnan(std::strtod(value.c_str(), nullptr)))
        return option->get_name() + ": " + value + " is no number.";
  }
  return {};
}

/// Reads the command line. Returns the exit code where the program ends here: 0 after --help, 2
/// after one sentence about what is wrong. `contradiction()` is asked once all options are read; it
/// returns that sentence, or nothing where they agree.
template <typename Contradiction>
std::optional<int> parse_command_line(CLI::App& app, int argc, const char* const* argv,
                                      const Contradiction& contradiction) {
  std::string wrong;
  try {
    app.parse(argc, argv);
    wrong = refused_nan(app);
    if (wrong.empty()) wrong = contradiction();
  } catch (const CLI::Success& help) {
    return app.exit(help);
  } catch (const CLI::Error& error) {
    wrong = std::string(error.what()) + " (--help lists the options)";
  }
  if (wrong.empty()) return std::nullopt;
  std::cerr << app.get_name() << ": " << wrong << '\n';
  return kBadDataExitCode;
}

/// The sentence where one of the options that shape a new model was given beside --load.
inline std::string shape_beside_load(const CLI::App& app,
                                     std::initializer_list<const char*> options) {
  for (const char* option : options)
    if (app.count(option) > 0) return std::string(option) + " means a new model, not --load's.";
  return {};
}

}  // namespace examples
