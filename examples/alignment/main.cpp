// SPDX-License-Identifier: Apache-2.0
// Trains a translator with attention and one without, compares them by the length of what they
// read, and shows what was looked at. README.md has the commands; translator.hpp has the model.
#include <iostream>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "../support/data_error.hpp"
#include "../support/interrupt.hpp"
#include "../support/program.hpp"
#include "../support/progress.hpp"
#include "../support/text_file.hpp"
#include "alignment_page.hpp"
#include "dates.hpp"
#include "evaluation.hpp"
#include "language.hpp"
#include "options.hpp"
#include "pair_reader.hpp"
#include "report.hpp"
#include "saved_model.hpp"
#include "training.hpp"

namespace examples {
namespace {

class Program {
 public:
  explicit Program(Options options)
      : options_(std::move(options)), progress_(options_.quiet, "pairs") {}

  int run() {
    if (!options_.load.empty()) model_.emplace(load_model(options_.load));
    check_translations();
    // A loaded model that has something to translate need not be judged as well.
    const bool judges = !model_ || !options_.pairs.path.empty() || options_.translate.empty();
    check_writable(options_.save);
    for (const std::string& path : {options_.metrics, options_.page, options_.chart})
      if (judges) check_writable(path);
    if (judges) train_and_judge();
    if (!options_.save.empty()) save_model(options_.save, *model_);
    for (const std::string& text : options_.translate) show_translation(text);
    return interrupted() ? kInterruptedExitCode : 0;
  }

 private:
  static constexpr std::size_t kLongestText = 2000;

  /// What a source consists of, before there are data or a model.
  Unit source_unit() const {
    if (model_) return model_->language.units.source;
    const bool has_tabs =
        !options_.pairs.path.empty() && options_.pairs.format == PairFormat::kTabs;
    return has_tabs ? options_.pairs.unit : Unit::kCharacters;
  }

  void check_translations() const {
    for (const std::string& text : options_.translate) {
      if (const auto at = first_invalid_utf8(text))
        throw DataError("--translate: byte " + std::to_string(*at + 1) + " is not valid UTF-8.");
      if (trimmed(text).empty() || split_tokens(text, source_unit()).empty())
        throw DataError("--translate: there is nothing to translate.");
      if (text.size() > kLongestText)
        throw DataError("--translate: this text has " + std::to_string(text.size()) +
                        " bytes, and up to " + std::to_string(kLongestText) + " are translated.");
    }
  }

  void read_data() {
    data_ = options_.pairs.path.empty() ? date_data(options_.dates) : read_pairs(options_.pairs);
    if (model_) {
      check_units();
    } else {
      language_ = language_of(data_);
    }
    if (options_.pairs.path.empty()) std::cout << "No file given: the dates are made up.\n";
    std::cout << data_.train.size() << " sources to train on, " << data_.validation.size()
              << " to validate, " << data_.test.size() << " to test";
    if (data_.too_long > 0)
      std::cout << "; " << data_.too_long << " of more than " << options_.pairs.longest
                << " tokens are left out";
    std::cout << '\n';
    report_.units = data_.units;
    report_.items = data_.test;
  }

  void check_units() const {
    const Units& units = model_->language.units;
    if (units.source == data_.units.source && units.target == data_.units.target) return;
    throw DataError(options_.load, std::string("this model translates ") +
                                       detail::unit_name(units.source) + " to " +
                                       detail::unit_name(units.target) + ", and the data are " +
                                       detail::unit_name(data_.units.source) + " and " +
                                       detail::unit_name(data_.units.target) + ".");
  }

  void train_and_judge() {
    read_data();
    if (model_) {
      add_result("attention", model_->translator, {});
    } else {
      model_.emplace(TranslatorModel{language_, trained("attention", true)});
      if (options_.baseline && !interrupted()) trained("fixed context", false);
    }
    print_results(std::cout, report_);
    print_by_length(std::cout, report_);
    write_file(options_.page, alignment_page(report_));
    write_file(options_.chart, line_chart_file(length_chart(report_)));
    if (!options_.metrics.empty())
      write_file(options_.metrics, metrics_json(report_).dump(2) + "\n");
    if (interrupted()) std::cout << "\nInterrupted: the results are those of a shorter training.\n";
    std::cout << "\nAlignments: " << options_.page << "; accuracy by length: " << options_.chart
              << '\n';
  }

  /// A model that is judged as well.
  Translator<float> trained(const std::string& name, bool attention) {
    TranslatorShape shape = options_.shape;
    shape.attention = attention;
    shape.source_tokens = language_.source.size();
    shape.target_tokens = language_.target.size();
    Translator<float> model(shape, options_.training.loop.seed);
    const TrainingSummary summary =
        train(model, numbered(data_.train, language_), numbered(data_.validation, language_),
              options_.training, name, progress_);
    add_result(name, model, summary);
    return model;
  }

  void add_result(const std::string& name, Translator<float>& model,
                  const TrainingSummary& summary) {
    const Language& language = model_ ? model_->language : language_;
    Index parameters = 0;
    for (const Parameter& p : model.parameters()) parameters += p.value.size();
    report_.models.push_back({name,
                              evaluate(model, language, data_.test, options_.training.loop.threads),
                              summary, parameters});
  }

  void show_translation(const std::string& text) {
    const Language& language = model_->language;
    const Tokens source = split_tokens(text, language.units.source);
    const Translation translation =
        translate(model_->translator, {language.source.encode(source)}, 1).front();
    const Tokens target = language.target.decode(translation.tokens);
    std::cout << "\n\"" << text << "\"\n  " << join_tokens(target, language.units.target) << "\n\n";
    ConsoleTable table({"written", "looks most at", "place", "weight"});
    for (std::size_t i = 0; i < target.size(); ++i) {
      Index at = 0;
      const float weight = translation.weights.row(static_cast<Index>(i)).maxCoeff(&at);
      table.add({target[i], "'" + source[static_cast<std::size_t>(at)] + "'",
                 std::to_string(at + 1), fixed(static_cast<double>(weight), 2)});
    }
    table.print(std::cout);
  }

  Options options_;
  Progress progress_;
  PairData data_;
  Language language_;
  std::optional<TranslatorModel> model_;
  Report report_;
};

}  // namespace
}  // namespace examples

int main(int argc, char** argv) {
  return examples::run_program("alignment", [&] {
    examples::ParsedOptions parsed = examples::parse_options(argc, argv);
    return parsed.exit_code ? *parsed.exit_code
                            : examples::Program(std::move(parsed.options)).run();
  });
}
