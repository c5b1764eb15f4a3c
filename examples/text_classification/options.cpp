// SPDX-License-Identifier: Apache-2.0
// Names, defaults and limits of the command line; CLI11 does the parsing.
#include "options.hpp"

#include <CLI/CLI.hpp>
#include <cstddef>
#include <map>
#include <string>
#include <utility>

#include "../support/command_line.hpp"

namespace examples {
namespace {

template <typename T>
using Names = std::map<std::string, T>;

void add_data_options(CLI::App& app, DataOptions& data) {
  OptionGroup add(app, "Data");
  add.plain("--train,--data", data.train,
            "Training files: label and text a line; or folders with seq.in and label");
  add.plain("--test", data.test, "Test files or folders");
  add.plain("--valid", data.validation,
            "Validation files or folders (default: a tenth of the training texts)");
  add.plain("--class-file", data.class_files,
            "NAME=FILE: a training file with one text of the class NAME a line");
  add.plain("--train-fraction", data.train_fraction,
            "This first part of the training files trains, the rest tests")
      ->check(CLI::Range(0.01, 0.99));
  add.plain("--cross-validate", data.folds, "Random folds, each the test set once")
      ->check(CLI::Range(2, 1000));
  add.plain("--label", data.reader.label, "Which column is the label: first or last")
      ->transform(CLI::CheckedTransformer(
          Names<LabelColumn>{{"first", LabelColumn::kFirst}, {"last", LabelColumn::kLast}}));
  add.plain("--format", data.reader.format, "auto, tsv, csv or trec (LABEL:sub text)")
      ->transform(CLI::CheckedTransformer(Names<TextFormat>{{"auto", TextFormat::kAuto},
                                                            {"tsv", TextFormat::kTabs},
                                                            {"csv", TextFormat::kCommas},
                                                            {"trec", TextFormat::kTrec}}));
  add.plain("--encoding", data.reader.encoding, "utf-8 or windows-1252")
      ->transform(CLI::CheckedTransformer(
          Names<Encoding>{{"utf-8", Encoding::kUtf8}, {"windows-1252", Encoding::kWindows1252}}));
  add.flag("--header", data.reader.header, "The first row names the columns");
}

void add_model_options(CLI::App& app, Options& options) {
  OptionGroup add(app, "Model");
  ClassifierShape& shape = options.model.shape;
  FeatureOptions& features = options.model.features;
  Names<AttentionKind> kinds;
  for (const auto& [name, kind] : kAttentionNames) kinds.emplace(name, kind);
  add.plain("--attention", shape.attention,
            "none (mean pooling), pooling (attention pooling alone), or self-attention before "
            "the pooling: additive, dot, scaled_dot, multi_head")
      ->transform(CLI::CheckedTransformer(kinds));
  add("--embed-dim", shape.embed_dim, "Numbers that describe a token")->check(CLI::Range(1, 4096));
  add("--attention-dim", shape.attention_dim, "Width of the additive scores")
      ->check(CLI::Range(1, 4096));
  add("--heads", shape.heads, "Heads of multi_head")->check(CLI::Range(1, 256));
  add.flag("--digits-as-shapes", features.digits_as_shapes, "Every digit is read as 0");
  add("--window", shape.window,
      "Tokens to each side that the self-attention sees; -1: the whole text")
      ->check(CLI::Range(-1, 1000000));
  add.flag("--pairs,!--no-pairs", features.pairs,
           "Features of neighbouring words (default: unless there is self-attention)");
  add.flag("!--no-letters", features.letters, "Without the features of groups of letters");
  add("--min-count", features.min_count, "A rarer word is an unknown word")
      ->check(CLI::Range(1, 1000000));
  add.plain("--glove", options.word_vectors, "Initial word vectors in GloVe's text format");
}

void add_training_options(CLI::App& app, Options& options) {
  OptionGroup add(app, "Training");
  TrainingOptions& training = options.model.training;
  add("--seed", training.seed, "Everything random follows from it");
  add("--epochs", training.epochs, "At most so many")->check(CLI::Range(1, 100000));
  add("--patience", training.patience, "Epochs without a better validation loss before it stops")
      ->check(CLI::Range(1, 100000));
  add("--batch-size", training.batch_size, "Texts a step")->check(CLI::Range(1, 65536));
  add("--learning-rate", training.adam.learning_rate, "Of Adam")->check(CLI::Range(1e-7, 1.0));
  add("--weight-decay", training.adam.weight_decay, "Of Adam, decoupled")
      ->check(CLI::Range(0.0, 10.0));
  add.plain("--word-dropout", training.dropout.words,
            "Share of words left out in training (default: 0.3; 0.1 for the made-up texts)")
      ->check(CLI::Range(0.0, 0.99));
  add("--dropout", training.dropout.pooled, "Share of pooled numbers left out in training")
      ->check(CLI::Range(0.0, 0.99));
  add.flag("!--no-baselines", options.baselines,
           "Without mean pooling and bag of words to compare with");
}

void add_output_options(CLI::App& app, Options& options) {
  OptionGroup add(app, "Output");
  add.plain("--save", options.save, "Write the trained model to this file");
  add.plain("--load", options.load, "Take the model from this file instead of training one");
  add.plain("--classify", options.classify, "Classify this text (may be given several times)");
  add.plain("--metrics", options.metrics, "Write the results as JSON to this file");
  add("--html", options.page, "Where the page with the shaded texts goes");
  add.flag("--quiet", options.quiet, "No progress");
}

/// What the limits of single options cannot say; empty where all is well.
std::string contradiction(const Options& options) {
  const DataOptions& data = options.data;
  const bool trains = !data.train.empty() || !data.class_files.empty();
  const int tests = int{!data.test.empty()} + int{data.train_fraction > 0} + int{data.folds > 0};
  if (tests > 1) {
    return "only one of --test, --train-fraction and --cross-validate can say what the test texts "
           "are.";
  }
  if (!trains && options.load.empty() && !data.test.empty()) {
    return "--test needs --train, --class-file or --load.";
  }
  if (!trains && !data.validation.empty()) return "--valid needs --train or --class-file.";
  if (!trains && data.train_fraction > 0) return "--train-fraction needs --train or --class-file.";
  const bool has_use = !options.save.empty() || !options.classify.empty();
  if (trains && tests == 0 && !has_use) {
    return "there is nothing to test with; add --test FILE, --train-fraction F or "
           "--cross-validate K.";
  }
  if (data.folds > 0 && !(options.save.empty() && options.load.empty())) {
    return "--cross-validate trains a model a fold; --save and --load mean a single one.";
  }
  const ClassifierShape& shape = options.model.shape;
  if (shape.attention == AttentionKind::kMultiHead && shape.embed_dim % shape.heads != 0) {
    return "--heads must divide --embed-dim.";
  }
  return {};
}

/// In a made-up text a single word decides; without it nothing is left to learn from.
void adapt_to_made_up_texts(const CLI::App& app, Options& options) {
  constexpr float kWordDropout = 0.1f;
  if (options.data.any() || app.count("--word-dropout") > 0) return;
  options.model.training.dropout.words = kWordDropout;
}

/// What a word means among its neighbours is told by self-attention where there is one. With the
/// pairs as well, "the" beside a key word would know as much as the key word.
void adapt_to_attention(const CLI::App& app, Options& options) {
  if (app.count("--pairs") > 0) return;
  options.model.features.pairs = !has_self_attention(options.model.shape.attention);
}

void note_wanted_shape(const CLI::App& app, Options& options) {
  const ClassifierShape& shape = options.model.shape;
  if (app.count("--attention") > 0) options.wanted.attention = shape.attention;
  if (app.count("--embed-dim") > 0) options.wanted.embed_dim = shape.embed_dim;
  if (app.count("--attention-dim") > 0) options.wanted.attention_dim = shape.attention_dim;
  if (app.count("--heads") > 0) options.wanted.heads = shape.heads;
  if (app.count("--window") > 0) options.wanted.window = shape.window;
}

}  // namespace

ParsedOptions parse_options(int argc, const char* const* argv) {
  ParsedOptions parsed;
  CLI::App app{
      "Trains a text classifier with attention and shows the words that it looks at.\n"
      "Without files it makes up a corpus in which the key words are known.",
      "text_classification"};
  add_data_options(app, parsed.options.data);
  add_model_options(app, parsed.options);
  add_training_options(app, parsed.options);
  add_output_options(app, parsed.options);
  parsed.exit_code = parse_command_line(app, argc, argv, [&] {
    note_wanted_shape(app, parsed.options);
    adapt_to_attention(app, parsed.options);
    adapt_to_made_up_texts(app, parsed.options);
    return contradiction(parsed.options);
  });
  return parsed;
}

}  // namespace examples
