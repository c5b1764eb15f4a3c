// SPDX-License-Identifier: Apache-2.0
// Names, defaults and limits of the command line; CLI11 does the parsing.
#include "options.hpp"

#include <CLI/CLI.hpp>
#include <map>
#include <string>

#include "../support/command_line.hpp"
#include "../support/training_options.hpp"

namespace examples {
namespace {

void add_bag_options(CLI::App& app, ExperimentOptions& experiment) {
  OptionGroup add(app, "Bags");
  add("--target", experiment.rules.target, "The class that makes a bag positive")
      ->check(CLI::Range(0, 999));
  add("--mean-size", experiment.rules.mean_size, "Images of a bag, on average")
      ->check(CLI::Range(1.0, 1000.0));
  add("--size-deviation", experiment.rules.size_deviation, "Standard deviation of that")
      ->check(CLI::Range(0.0, 1000.0));
  add("--bags", experiment.bags, "Training bags: one training of each model for each number")
      ->check(CLI::Range(1, 1000000));
  add("--test-bags", experiment.test_bags, "Test bags")->check(CLI::Range(2, 1000000));
  add("--repeats", experiment.repeats, "Trainings of each kind, each with bags of its own")
      ->check(CLI::Range(1, 1000));
}

void add_model_options(CLI::App& app, ExperimentOptions& experiment) {
  OptionGroup add(app, "Model");
  add.plain("--attention", experiment.attention, "gated or additive (default: gated)")
      ->transform(CLI::CheckedTransformer(std::map<std::string, Pooling>{
          {"gated", Pooling::kGated}, {"additive", Pooling::kAdditive}}));
  add("--hidden", experiment.shape.hidden, "Hidden features of an image")
      ->check(CLI::Range(1, 4096));
  add("--features", experiment.shape.features, "Features of an image")->check(CLI::Range(1, 4096));
  add("--attention-dim", experiment.shape.attention_dim, "Features that the attention compares")
      ->check(CLI::Range(1, 4096));
}

void add_training_options(CLI::App& app, TrainingLoopOptions& training) {
  OptionGroup add(app, "Training");
  add_run_options(add, training.seed, training.threads);
  add("--epochs", training.epochs, "Of each training")->check(CLI::Range(1, 1000000));
  add_adam_options(add, training.adam, training.batch_size, "Bags");
}

void add_output_options(CLI::App& app, Options& options) {
  OptionGroup add(app, "Output");
  add.plain("--metrics", options.metrics, "Write the results as JSON to this file");
  add("--html", options.page, "Where the page with the shaded bags goes");
  add.flag("--quiet", options.quiet, "No progress");
}

}  // namespace

ParsedOptions parse_options(int argc, const char* const* argv) {
  ParsedOptions parsed;
  Options& options = parsed.options;
  CLI::App app{
      "Learns from bags of images which have one label each, and finds the image that decides.\n"
      "Without files it draws the digits itself.",
      "bag_of_images"};
  add_image_options(app, options.files);
  add_bag_options(app, options.experiment);
  add_model_options(app, options.experiment);
  add_training_options(app, options.experiment.training);
  add_output_options(app, options);
  parsed.exit_code =
      parse_command_line(app, argc, argv, [&] { return contradiction(options.files); });
  return parsed;
}

}  // namespace examples
