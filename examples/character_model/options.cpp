// SPDX-License-Identifier: Apache-2.0
// Names, defaults and limits of the command line; CLI11 does the parsing.
#include "options.hpp"

#include <CLI/CLI.hpp>
#include <map>
#include <string>

#include "../support/command_line.hpp"
#include "../support/training_options.hpp"
#include "settings.hpp"

namespace examples {
namespace {

void add_data_options(CLI::App& app, Options& options) {
  OptionGroup add(app, "Data");
  add.plain("--text", options.text, "Learn from this text file (default: a text is made up)");
  add.plain("--encoding", options.encoding, "utf-8 or windows-1252")
      ->transform(CLI::CheckedTransformer(std::map<std::string, Encoding>{
          {"utf-8", Encoding::kUtf8}, {"windows-1252", Encoding::kWindows1252}}));
}

void add_model_options(CLI::App& app, DecoderShape& shape) {
  OptionGroup add(app, "Model");
  add("--layers", shape.layers, "Blocks")->check(CLI::Range(1, 64));
  add("--embed-dim", shape.embed_dim, "Numbers that describe a character")
      ->check(CLI::Range(2, 4096));
  add("--heads", shape.heads, "Query heads of a block")->check(CLI::Range(1, 256));
  add("--kv-heads", shape.kv_heads, "Key-value heads, each for as many query heads")
      ->check(CLI::Range(1, 256));
  add("--hidden", shape.hidden, "Hidden features of a block")->check(CLI::Range(1, 16384));
  add("--context", shape.context, "Characters that the model looks back at, itself among them")
      ->check(CLI::Range(2, 65536));
}

void add_training_options(CLI::App& app, TrainingOptions& training) {
  OptionGroup add(app, "Training");
  add_run_options(add, training.seed, training.threads);
  add("--steps", training.steps, "So many")->check(CLI::Range(1, 100000000));
  add("--seconds", training.seconds, "End after so many, whatever --steps says; 0: no limit")
      ->check(CLI::Range(0.0, 1e9));
  add_adam_options(add, training.adam, training.batch_size, "Windows");
}

void add_output_options(CLI::App& app, Options& options) {
  OptionGroup add(app, "Output");
  add.plain("--save", options.save, "Write the trained model to this file");
  add.plain("--load", options.load, "Take the model from this file instead of training one");
  add.plain("--prompt", options.prompt,
            "What the sample goes on from (default: the start of a line)");
  add("--tokens", options.sampling.tokens, "Characters of the sample")
      ->check(CLI::Range(0, 100000000));
  add("--temperature", options.sampling.temperature, "Of the sample; 0: always the likeliest")
      ->check(CLI::Range(0.0, 100.0));
  add("--top-k", options.sampling.top_k, "Draw from the so many likeliest; 0: from all")
      ->check(CLI::Range(0, 65536));
  add.plain("--metrics", options.metrics, "Write the results as JSON to this file");
  add("--html", options.page, "Where the page with the loss curve goes");
  add.flag("--quiet", options.quiet, "No progress");
}

/// What the limits of single options cannot say; empty where all is well.
std::string contradiction_of(const CLI::App& app, const Options& options) {
  if (options.prompt && options.prompt->empty()) return "--prompt needs a character or more.";
  if (options.load.empty()) return contradiction(options.shape);
  return shape_beside_load(
      app, {"--layers", "--embed-dim", "--heads", "--kv-heads", "--hidden", "--context"});
}

}  // namespace

ParsedOptions parse_options(int argc, const char* const* argv) {
  ParsedOptions parsed;
  CLI::App app{
      "Trains a small decoder on the characters of a text and lets it go on with a prompt.\n"
      "Without a file it makes up a text for which the best possible loss is known.",
      "character_model"};
  add_data_options(app, parsed.options);
  add_model_options(app, parsed.options.shape);
  add_training_options(app, parsed.options.training);
  add_output_options(app, parsed.options);
  parsed.exit_code =
      parse_command_line(app, argc, argv, [&] { return contradiction_of(app, parsed.options); });
  return parsed;
}

}  // namespace examples
