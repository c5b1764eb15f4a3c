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

void add_data_options(CLI::App& app, Options& options) {
  OptionGroup add(app, "Data");
  add.plain("--pairs", options.pairs.path, "Learn from this file (default: dates are made up)");
  add.plain("--format", options.pairs.format,
            "Of --pairs: tabs (source, tab, target; the default) or cmudict")
      ->transform(CLI::CheckedTransformer(std::map<std::string, PairFormat>{
          {"tabs", PairFormat::kTabs}, {"cmudict", PairFormat::kCmudict}}));
  add.plain("--tokens", options.pairs.unit, "With tabs: characters (the default) or words")
      ->transform(CLI::CheckedTransformer(
          std::map<std::string, Unit>{{"characters", Unit::kCharacters}, {"words", Unit::kWords}}));
  add.plain("--encoding", options.pairs.encoding, "Of --pairs: utf-8 (the default) or windows-1252")
      ->transform(CLI::CheckedTransformer(std::map<std::string, Encoding>{
          {"utf-8", Encoding::kUtf8}, {"windows-1252", Encoding::kWindows1252}}));
  add("--limit", options.pairs.limit, "Draw so many sources of the file; 0: take all");
  add("--longest", options.pairs.longest, "Leave out what has more tokens than this; 0: nothing");
  add("--dates", options.dates.most_dates, "Up to so many dates stand on a made-up line")
      ->check(CLI::Range(1, 100));
  add("--lines", options.dates.lines, "Made-up lines to train on")->check(CLI::Range(1, 10000000));
}

void add_model_options(CLI::App& app, Options& options) {
  OptionGroup add(app, "Model");
  add("--embed-dim", options.shape.embed_dim, "Numbers that describe a token")
      ->check(CLI::Range(1, 4096));
  add("--hidden", options.shape.hidden, "Of the decoder's state, and of the encoder's two together")
      ->check(CLI::Range(2, 4096));
  app.add_flag("!--no-baseline", options.baseline, "Leave out the model without attention")
      ->group("Model");
}

void add_training_options(CLI::App& app, TrainingOptions& training) {
  OptionGroup add(app, "Training");
  TrainingLoopOptions& loop = training.loop;
  add_run_options(add, loop.seed, loop.threads);
  add("--epochs", loop.epochs, "Times that each pair is seen")->check(CLI::Range(1, 100000));
  add("--patience", loop.patience, "End after so many epochs without a better one; 0: do not")
      ->check(CLI::Range(0, 100000));
  add("--seconds", loop.seconds, "End a training after so many; 0: no limit")
      ->check(CLI::Range(0.0, 1e9));
  add_adam_options(add, loop.adam, loop.batch_size, "Pairs");
  add("--dropout", training.dropout, "Of embeddings and of the last hidden layer")
      ->check(CLI::Range(0.0, 0.95));
}

void add_output_options(CLI::App& app, Options& options) {
  OptionGroup add(app, "Output");
  add.plain("--save", options.save, "Write the trained model with attention to this file");
  add.plain("--load", options.load, "Take the model from this file instead of training one");
  add.plain("--translate", options.translate, "Translate this, and say what was looked at")
      ->expected(1, 1 << 20);
  add.plain("--metrics", options.metrics, "Write the results as JSON to this file");
  add("--html", options.page, "Where the page with the alignments goes");
  add("--svg", options.chart, "Where the chart of accuracy by length goes");
  add.flag("--quiet", options.quiet, "No progress");
}

/// What the limits of single options cannot say; empty where all is well.
std::string contradiction_of(const CLI::App& app, const Options& options) {
  const auto given = [&](const char* option) { return app.count(option) > 0; };
  if (options.shape.hidden % 2 != 0) return "--hidden must be even: each direction has half of it.";
  for (const char* option : {"--format", "--tokens", "--encoding", "--limit", "--longest"})
    if (options.pairs.path.empty() && given(option))
      return std::string(option) + " says something about --pairs, and there are none.";
  for (const char* option : {"--dates", "--lines"})
    if (!options.pairs.path.empty() && given(option))
      return std::string(option) + " is about made-up dates, and --pairs takes their place.";
  if (options.pairs.format == PairFormat::kCmudict && given("--tokens"))
    return "--tokens is for --format tabs; of a dictionary letters and phonemes are read.";
  if (options.load.empty()) return {};
  return shape_beside_load(app, {"--embed-dim", "--hidden"});
}

}  // namespace

ParsedOptions parse_options(int argc, const char* const* argv) {
  ParsedOptions parsed;
  Options& options = parsed.options;
  options.training.loop = {
      .epochs = 10, .batch_size = 64, .adam = {.learning_rate = 4e-3f}, .seed = 1, .threads = 2};
  CLI::App app{
      "Trains a translator from sequence to sequence with additive attention, and one without.\n"
      "Without a file it makes up dates, as people write them and in ISO 8601.",
      "alignment"};
  add_data_options(app, options);
  add_model_options(app, options);
  add_training_options(app, options.training);
  add_output_options(app, options);
  parsed.exit_code =
      parse_command_line(app, argc, argv, [&] { return contradiction_of(app, options); });
  options.dates.seed = options.training.loop.seed;
  return parsed;
}

}  // namespace examples
