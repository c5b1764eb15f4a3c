// SPDX-License-Identifier: Apache-2.0
// Trains a text classifier with attention, compares it with mean pooling and with a bag of words,
// and shows what it looks at. README.md has the commands; classifier.hpp has the model.
#include <cstddef>
#include <iostream>
#include <iterator>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "../support/data_error.hpp"
#include "../support/interrupt.hpp"
#include "../support/program.hpp"
#include "../support/progress.hpp"
#include "../support/text_file.hpp"
#include "attention_page.hpp"
#include "datasets.hpp"
#include "experiment.hpp"
#include "options.hpp"
#include "report.hpp"
#include "saved_model.hpp"
#include "word_vectors.hpp"

namespace examples {
namespace {

/// As tables and JSON call it; self-attention of some kind goes by the name of the kind.
std::string model_name(AttentionKind kind) {
  if (kind == AttentionKind::kNone) return "mean pooling";
  if (kind == AttentionKind::kPooling) return "additive pooling";
  return std::string(attention_name(kind));
}

class Program {
 public:
  explicit Program(Options options) : options_(std::move(options)), progress_(options_.quiet) {}

  int run() {
    load_word_vectors();
    if (!options_.load.empty()) load();
    const bool only_classifies = model_ && !options_.classify.empty() && !options_.data.any();
    if (!only_classifies) train_and_test();
    for (const std::string& text : options_.classify) {
      if (model_) classify(text);
    }
    return interrupted() ? kInterruptedExitCode : 0;
  }

 private:
  void load_word_vectors() {
    if (options_.word_vectors.empty()) return;
    vectors_.emplace(options_.word_vectors);
    options_.model.word_vectors = &*vectors_;
    Index& embed_dim = options_.model.shape.embed_dim;
    if (options_.wanted.embed_dim && *options_.wanted.embed_dim != vectors_->dimension()) {
      throw DataError(options_.word_vectors, 1,
                      "the vectors have " + std::to_string(vectors_->dimension()) +
                          " numbers, and --embed-dim asks for " + std::to_string(embed_dim) + ".");
    }
    embed_dim = vectors_->dimension();
  }

  void load() {
    model_ = load_model(options_.load);
    check_shape(options_.load, model_->classifier.shape(), options_.wanted);
    options_.model.shape = model_->classifier.shape();
    options_.model.features = model_->space.options();
  }

  void train_and_test() {
    for (const std::string& path : {options_.save, options_.metrics, options_.page})
      check_writable(path);
    const Datasets datasets(options_.data, options_.model.training.seed);
    if (datasets.is_generated()) std::cout << "No files given: the texts are made up.\n";
    for (std::size_t fold = 0; fold < datasets.count() && !interrupted(); ++fold) {
      fold_title_ = datasets.count() == 1 ? ""
                                          : "fold " + std::to_string(fold + 1) + "/" +
                                                std::to_string(datasets.count()) + ", ";
      run_fold(datasets.has_training() ? datasets.fold(fold) : Dataset{{}, {}, datasets.test()});
    }
    if (!options_.save.empty()) save_model(options_.save, *model_);
    if (report_.tested > 0) show();
    if (!options_.metrics.empty())
      write_file(options_.metrics, metrics_json(report_).dump(2) + "\n");
  }

  /// The chosen model, then the two that it is compared with. Ctrl-C leaves out what is to come.
  void run_fold(const Dataset& data) {
    const bool trains = !data.train.empty();
    if (trains) std::cout << describe(data);
    const AttentionKind chosen = options_.model.shape.attention;
    if (options_.load.empty()) model_.emplace(untrained_model(data, options_.model));
    report_.add(run_classifier(*model_, data, true));
    if (!trains || !options_.baselines) return;
    if (chosen != AttentionKind::kNone && !interrupted()) {
      ModelOptions mean = options_.model;
      mean.shape.attention = AttentionKind::kNone;
      TextModel model = untrained_model(data, mean);
      report_.add(run_classifier(model, data, false));
    }
    if (interrupted()) return;
    report_.add(run_bag_of_words(data, options_.model, fold_title_ + "bag of words", progress_));
  }

  std::string describe(const Dataset& data) const {
    return fold_title_ + std::to_string(data.train.size()) + " training, " +
           std::to_string(data.validation.size()) + " validation, " +
           std::to_string(data.test.size()) + " test texts\n";
  }

  /// Trains unless the model was loaded; tests; the chosen model's attention is kept for the
  /// report.
  ModelResult run_classifier(TextModel& model, const Dataset& data, bool is_chosen) {
    const std::string name = model_name(model.classifier.shape().attention);
    TrainingSummary summary;
    if (!is_chosen || options_.load.empty()) {
      summary = train_model(model, data, options_.model.training, fold_title_ + name, progress_);
    }
    const auto test = featurized(data.test, model.space, model.classes);
    const Evaluation evaluation = evaluate(model.classifier, test);
    if (is_chosen) report_.add_attention(model, data.test, evaluation);
    return {name, confusion_of(evaluation, test, model.classes.size()), summary.seconds,
            summary.interrupted};
  }

  void show() {
    print_words(std::cout, report_);
    const ModelResult& chosen = report_.models.front();
    write_file(
        options_.page,
        attention_page({chosen.name, report_.tested, chosen.confusion.accuracy()}, report_.shown));
    print_results(std::cout, report_);
    print_key_word_share(std::cout, report_);
    if (interrupted()) std::cout << "\nInterrupted: the results are those of a shorter training.\n";
    std::cout << "\nTexts shaded by attention: " << options_.page << '\n';
  }

  void classify(const std::string& text) {
    if (const auto at = first_invalid_utf8(text)) {
      throw DataError("--classify: " + describe_invalid_byte(text, *at));
    }
    const std::vector<Token> tokens = model_->space.tokens(text);
    const Evaluation evaluation =
        evaluate(model_->classifier, {{model_->space.features(tokens), 0}});
    const auto best = static_cast<std::size_t>(evaluation.predictions.front());
    std::cout << "\n\"" << text << "\"\n  class " << model_->classes[best] << '\n';
    for (std::size_t c = 0; c < model_->classes.size(); ++c) {
      std::cout
          << "  "
          << fixed(100 * static_cast<double>(evaluation.probabilities[0](static_cast<Index>(c))), 1)
          << " % " << model_->classes[c] << '\n';
    }
    std::cout << "  attention:";
    for (std::size_t i = 0; i < tokens.size(); ++i) {
      std::cout << ' ' << tokens[i].word << ' '
                << fixed(static_cast<double>(evaluation.weights[0][i]), 2);
    }
    std::cout << '\n';
  }

  Options options_;
  Progress progress_;
  std::optional<WordVectors> vectors_;
  std::optional<TextModel> model_;
  std::string fold_title_;
  Report report_;
};

}  // namespace
}  // namespace examples

int main(int argc, char** argv) {
  return examples::run_program("text_classification", [&] {
    examples::ParsedOptions parsed = examples::parse_options(argc, argv);
    return parsed.exit_code ? *parsed.exit_code
                            : examples::Program(std::move(parsed.options)).run();
  });
}
