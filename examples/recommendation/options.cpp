// SPDX-License-Identifier: Apache-2.0
// Names, defaults and limits of the command line.
#include "options.hpp"

#include <map>
#include <string>

#include "../support/command_line.hpp"
#include "../support/training_options.hpp"
#include "catalogue.hpp"
#include "settings.hpp"

namespace examples {
namespace {

void add_data_options(CLI::App& app, Options& options) {
  OptionGroup add(app, "Data");
  add.plain("--ratings", options.ratings,
            "Ratings: user, item, rating, timestamp, divided by commas, tabs or '::' (default: a "
            "catalogue is made up)");
  add.plain("--titles", options.titles, "Titles: item, title");
  add.plain("--encoding", options.encoding, "utf-8 or windows-1252")
      ->transform(CLI::CheckedTransformer(std::map<std::string, Encoding>{
          {"utf-8", Encoding::kUtf8}, {"windows-1252", Encoding::kWindows1252}}));
  add("--min-ratings", options.min_ratings, "Users with fewer are not judged, only learnt from")
      ->check(CLI::Range(Split::kSmallestHistory, Index{1000000}));
  add("--users", options.made_up_users, "Of the made-up catalogue")->check(CLI::Range(1, 1000000));
}

void add_model_options(CLI::App& app, RecommenderShape& shape) {
  OptionGroup add(app, "Model");
  add("--layers", shape.layers, "Blocks")->check(CLI::Range(1, 64));
  add("--embed-dim", shape.embed_dim, "Numbers that describe an item")->check(CLI::Range(1, 4096));
  add("--heads", shape.heads, "Heads of a block")->check(CLI::Range(1, 256));
  add("--context", shape.context, "Latest items of a history that the model looks at")
      ->check(CLI::Range(1, 65536));
}

void add_training_options(CLI::App& app, TrainingOptions& training) {
  OptionGroup add(app, "Training");
  TrainingLoopOptions& loop = training.loop;
  add_run_options(add, loop.seed, loop.threads);
  add("--epochs", loop.epochs, "At most so many")->check(CLI::Range(1, 1000000));
  add("--patience", loop.patience, "Epochs without a better validation that end it; 0: none do")
      ->check(CLI::Range(0, 1000000));
  add("--seconds", loop.seconds, "End after so many; 0: no limit")->check(CLI::Range(0.0, 1e9));
  add_adam_options(add, loop.adam, loop.batch_size, "Histories");
  add("--dropout", training.dropout, "Share of numbers and weights left out in training")
      ->check(CLI::Range(0.0, 0.95));
}

void add_output_options(CLI::App& app, Options& options) {
  OptionGroup add(app, "Output");
  add.plain("--user", options.user, "Print what this user should take next");
  add.plain("--save", options.save, "Write the trained model to this file");
  add.plain("--load", options.load, "Take the model from this file instead of training one");
  add.plain("--metrics", options.metrics, "Write the results as JSON to this file");
  add("--html", options.page, "Where the page with the attention goes");
  add.flag("--quiet", options.quiet, "No progress");
}

/// What the limits of single options cannot say; empty where all is well.
std::string contradiction_of(const CLI::App& app, const Options& options) {
  if (options.ratings.empty() && !options.titles.empty())
    return "--titles names the items of --ratings, which is missing.";
  if (!options.ratings.empty() && app.count("--users") > 0)
    return "--users is for the made-up catalogue, not for --ratings.";
  if (options.load.empty()) return contradiction(options.shape);
  return shape_beside_load(app, {"--layers", "--embed-dim", "--heads", "--context"});
}

}  // namespace

ParsedOptions parse_options(int argc, const char* const* argv) {
  ParsedOptions parsed;
  CLI::App app{
      "Learns from the histories of users which item each takes next, and compares that with\n"
      "recommenders that have no attention. Without a file it makes up a catalogue in which the\n"
      "order of a history decides.",
      "recommendation"};
  add_data_options(app, parsed.options);
  add_model_options(app, parsed.options.shape);
  add_training_options(app, parsed.options.training);
  add_output_options(app, parsed.options);
  parsed.exit_code =
      parse_command_line(app, argc, argv, [&] { return contradiction_of(app, parsed.options); });
  return parsed;
}

}  // namespace examples
