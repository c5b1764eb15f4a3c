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

/// Words for the values of an enumeration.
template <typename Names>
auto choices(const Names& names) {
  using Kind = typename Names::value_type::second_type;
  std::map<std::string, Kind> map;
  for (const auto& [name, kind] : names) map.emplace(name, kind);
  return CLI::CheckedTransformer(map);
}

void add_data_options(CLI::App& app, Options& options) {
  add_image_options(app, options.files);
  OptionGroup add(app, "Data");
  add("--digits", options.drawn, "Without files: so many drawn digits, of which a sixth tests")
      ->check(CLI::Range(60, 10000000));
  add("--digit-size", options.drawn_size, "Without files: pixels along a drawn digit's side")
      ->check(CLI::Range(8, 256));
  add.plain("--canvas", options.canvas.size,
            "Rows and columns of a canvas (default: by the size of the images, 60 for 28)")
      ->check(CLI::Range(Index{4}, kLargestCanvas));
  add.plain("--pieces", options.canvas.pieces, "Pieces of other images on a canvas (default: 4)")
      ->check(CLI::Range(0, 1000));
  add.plain("--piece-size", options.canvas.piece_size,
            "Rows and columns of a piece (default: by the size of the images, 8 for 28)")
      ->check(CLI::Range(1, 1024));
}

void add_model_options(CLI::App& app, Options& options) {
  OptionGroup add(app, "Model");
  RegionModelShape& shape = options.shape;
  add.plain("--features", shape.regions.features, "Of regions: convolution (default) or patches")
      ->transform(choices(kFeatureNames));
  add.plain("--attention", shape.attention,
            "Score of the pooling: additive (default) or scaled_dot; none: mean pooling")
      ->transform(choices(kPoolingNames));
  add.flag("--self-attention", shape.self_attention,
           "Multi-head attention between the regions before the pooling");
  add("--heads", shape.heads, "Of the self-attention")->check(CLI::Range(1, 256));
  add("--channels", shape.regions.channels, "Features of a region")->check(CLI::Range(1, 4096));
  add("--attention-dim", shape.attention_dim, "Width of the query and of its scores")
      ->check(CLI::Range(1, 4096));
  add("--pooled", shape.pooled, "Numbers that describe a canvas")->check(CLI::Range(1, 4096));
  add.plain("--stride", options.canvas.stride,
            "Pixels from region to region (default: 4; 2 for images below 20 pixels; patches of "
            "larger ones 6)")
      ->check(CLI::Range(1, 1024));
  add.plain("--patch", options.canvas.patch,
            "Pixels along a patch's side (default: by the size of the images, 24 for 28)")
      ->check(CLI::Range(1, 1024));
}

void add_training_options(CLI::App& app, Options& options) {
  OptionGroup add(app, "Training");
  TrainingLoopOptions& training = options.training;
  add_run_options(add, training.seed, training.threads);
  add.plain("--epochs", options.canvas.epochs,
            "So many (default: by the number of images, 4 for 60000)")
      ->check(CLI::Range(1, 100000));
  add("--seconds", training.seconds, "End after so many, whatever --epochs says; 0: no limit")
      ->check(CLI::Range(0.0, 1e9));
  add_adam_options(add, training.adam, training.batch_size, "Canvases");
  add.flag("--baselines,!--no-baselines", options.baselines,
           "Mean pooling and the MLP to compare with (default: unless --load)");
}

void add_output_options(CLI::App& app, Options& options) {
  OptionGroup add(app, "Output");
  add.plain("--save", options.save, "Write the trained model to this file");
  add.plain("--load", options.load, "Take the model from this file instead of training one");
  add.plain("--classify", options.classify,
            "Classify this PNG (may be given several times); one that is smaller than a canvas is "
            "put in the middle of one");
  add.plain("--metrics", options.metrics, "Write the results as JSON to this file");
  add("--html", options.page, "Where the page with the heat maps goes");
  add("--png", options.pictures,
      "What the names of the pictures with the heat maps begin with; _right.png and so on follow");
  add.flag("--quiet", options.quiet, "No progress");
}

/// What the limits of single options cannot say; empty where all is well.
std::string contradiction_of(const CLI::App& app, const Options& options) {
  const std::string wrong = contradiction(options.files);
  if (!wrong.empty() || options.load.empty()) return wrong;
  return shape_beside_load(
      app, {"--features", "--attention", "--self-attention", "--heads", "--channels",
            "--attention-dim", "--pooled", "--stride", "--patch", "--canvas"});
}

}  // namespace

ParsedOptions parse_options(int argc, const char* const* argv) {
  ParsedOptions parsed;
  CLI::App app{
      "Finds and reads a digit that lies somewhere on a cluttered canvas, by attention over the "
      "regions\nof the canvas, and shows where it looked. Without files it draws the digits "
      "itself.",
      "image_regions"};
  add_data_options(app, parsed.options);
  add_model_options(app, parsed.options);
  add_training_options(app, parsed.options);
  add_output_options(app, parsed.options);
  parsed.exit_code =
      parse_command_line(app, argc, argv, [&] { return contradiction_of(app, parsed.options); });
  if (app.count("--baselines") == 0) parsed.options.baselines = parsed.options.load.empty();
  return parsed;
}

}  // namespace examples
