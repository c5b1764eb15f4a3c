// SPDX-License-Identifier: Apache-2.0
// Trains a small decoder on the characters of a text, compares it with models that see the last few
// characters only, and lets it write. README.md has the commands; decoder.hpp has the model.
#include <cstddef>
#include <iostream>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "../support/data_error.hpp"
#include "../support/interrupt.hpp"
#include "../support/program.hpp"
#include "../support/progress.hpp"
#include "../support/text_file.hpp"
#include "alphabet.hpp"
#include "corpus.hpp"
#include "decoder.hpp"
#include "loss_page.hpp"
#include "options.hpp"
#include "report.hpp"
#include "sampling.hpp"
#include "saved_model.hpp"
#include "training.hpp"

namespace examples {
namespace {

class Program {
 public:
  explicit Program(Options options)
      : options_(std::move(options)), progress_(options_.quiet, "characters") {}

  int run() {
    if (!options_.load.empty()) model_.emplace(load_model(options_.load));
    if (!model_ || !options_.text.empty()) {
      read_corpus();
    } else {
      report_.parameters = count_parameters();
    }
    prompt_ = encoded_prompt();
    for (const std::string& path : {options_.save, options_.metrics, written_page()})
      check_writable(path);
    if (!validation_.empty()) train_and_judge();
    if (!options_.save.empty()) save_model(options_.save, *model_);
    write_sample();
    if (!options_.metrics.empty())
      write_file(options_.metrics, metrics_json(report_).dump(2) + "\n");
    return interrupted() ? kInterruptedExitCode : 0;
  }

 private:
  /// The page shows a training; without one there is none.
  std::string written_page() const { return options_.load.empty() ? options_.page : ""; }

  Index count_parameters() {
    Index count = 0;
    for (const Parameter& p : model_->decoder.parameters()) count += p.value.size();
    return count;
  }

  /// Reads or makes up the text, and the model where none was loaded.
  void read_corpus() {
    const Corpus corpus = options_.text.empty() ? made_up_corpus(options_.training.seed)
                                                : file_corpus(options_.text, options_.encoding);
    if (!model_) {
      Alphabet alphabet(corpus.train + corpus.validation);
      DecoderShape shape = options_.shape;
      shape.characters = alphabet.size();
      if (shape.characters > 0)
        model_.emplace(
            CharacterModel{std::move(alphabet), Decoder<float>(shape, options_.training.seed)});
    }
    if (model_) encode(corpus);
    const Index needed = options_.load.empty() ? options_.shape.context + 1 : 1;
    if (static_cast<Index>(train_.size()) < needed || validation_.size() < 2)
      throw DataError(corpus.source, "the text is too short: " + std::to_string(train_.size()) +
                                         " characters train and " +
                                         std::to_string(validation_.size()) + " validate, and " +
                                         std::to_string(needed) + " and 2 are needed.");
    report_.best_loss = corpus.best_loss;
    report_.parameters = count_parameters();
    if (options_.text.empty()) std::cout << "No file given: the text is made up.\n";
    std::cout << train_.size() << " characters to train on, " << validation_.size()
              << " to validate, " << model_->alphabet.size() << " different ones; "
              << report_.parameters << " parameters\n";
  }

  void encode(const Corpus& corpus) {
    train_ = model_->alphabet.encode(corpus.source, corpus.train);
    validation_ = model_->alphabet.encode(corpus.source, corpus.validation);
  }

  std::vector<Index> encoded_prompt() const {
    const Alphabet& alphabet = model_->alphabet;
    if (options_.prompt) return alphabet.encode("--prompt", *options_.prompt);
    for (Index c = 0; c < alphabet.size(); ++c)
      if (alphabet.character(c) == "\n") return {c};
    return {0};
  }

  void train_and_judge() {
    if (options_.load.empty())
      report_.training =
          Trainer(model_->decoder, options_.training, progress_).train(train_, validation_);
    report_.models.push_back(
        {"attention", mean_loss(model_->decoder, validation_, options_.training.threads)});
    for (ModelLoss& model : baselines(train_, validation_, model_->alphabet.size()))
      report_.models.push_back(std::move(model));
    print_table(std::cout, report_);
    if (!report_.training) return;
    std::cout << "\nTrained " << report_.training->steps << " steps in "
              << fixed(report_.training->seconds, 1) << " s"
              << (report_.training->interrupted ? " (interrupted)" : "")
              << "; the loss curve: " << options_.page << '\n';
    write_file(options_.page, loss_page(report_));
  }

  void write_sample() {
    if (options_.sampling.tokens == 0 || interrupted()) return;
    std::cout << "\nA sample" << (options_.prompt ? "" : ", from the start of a line") << ":\n\n"
              << options_.prompt.value_or("") << std::flush;
    // A sequence of its own, so that a loaded model writes what the trained one wrote.
    Random random(options_.training.seed);
    const Sample written = sample(
        model_->decoder, prompt_, options_.sampling, random,
        [&](Index character) { std::cout << model_->alphabet.character(character) << std::flush; });
    report_.tokens_per_second = static_cast<double>(written.tokens) / written.seconds;
    std::cout << "\n\n"
              << written.tokens << " characters, " << fixed(*report_.tokens_per_second, 0)
              << " characters/s\n";
  }

  Options options_;
  Progress progress_;
  std::optional<CharacterModel> model_;
  std::vector<Index> train_;
  std::vector<Index> validation_;
  std::vector<Index> prompt_;
  Report report_;
};

}  // namespace
}  // namespace examples

int main(int argc, char** argv) {
  return examples::run_program("character_model", [&] {
    examples::ParsedOptions parsed = examples::parse_options(argc, argv);
    return parsed.exit_code ? *parsed.exit_code
                            : examples::Program(std::move(parsed.options)).run();
  });
}
