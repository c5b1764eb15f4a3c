// SPDX-License-Identifier: Apache-2.0
// From what the command line says about data to training, validation and test texts.
#pragma once

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

#include "../support/data_error.hpp"
#include "corpus.hpp"
#include "corpus_reader.hpp"
#include "experiment.hpp"
#include "planted_corpus.hpp"
#include "settings.hpp"

namespace examples {

/// All texts, and how they are divided into one or several data sets.
class Datasets {
 public:
  /// Without files the texts are made up.
  Datasets(const DataOptions& options, std::uint64_t seed)
      : folds_(options.folds), seed_(seed), is_generated_(!options.any()) {
    if (is_generated_) {
      generate();
    } else {
      read(options);
    }
  }

  std::size_t count() const { return folds_ == 0 ? 1 : folds_; }
  bool is_generated() const { return is_generated_; }
  bool has_training() const { return !train_.empty(); }
  const Texts& test() const { return test_; }

  /// A tenth of the training texts validates where no file says otherwise.
  Dataset fold(std::size_t number) const {
    Dataset data{train_, validation_, test_};
    if (folds_ > 0) {
      if (folds_ > train_.size()) {
        throw DataError(train_.empty() ? "training data" : train_.front().file,
                        std::to_string(train_.size()) + " texts cannot make " +
                            std::to_string(folds_) + " folds.");
      }
      Division division = divide_by_fold(train_, number, folds_, seed_);
      data.train = std::move(division.train);
      data.test = std::move(division.test);
    }
    if (data.validation.empty()) data.validation = take_validation(data.train, 0.1, seed_);
    return data;
  }

 private:
  static constexpr std::size_t kGeneratedTrain = 1200;
  static constexpr std::size_t kGeneratedTest = 400;

  void generate() {
    PlantedCorpus corpus(seed_);
    train_ = corpus.texts(kGeneratedTrain);
    if (folds_ == 0) test_ = corpus.texts(kGeneratedTest);
  }

  void read(const DataOptions& options) {
    train_ = read_all(options.train, options.reader);
    for (const std::string& entry : options.class_files) append_class_file(entry, options.reader);
    test_ = read_all(options.test, options.reader);
    validation_ = read_all(options.validation, options.reader);
    if (options.train_fraction == 0) return;
    Division division = divide_in_order(train_, options.train_fraction);
    train_ = std::move(division.train);
    test_ = std::move(division.test);
  }

  static Texts read_all(const std::vector<std::string>& paths, const ReaderOptions& options) {
    Texts all;
    for (const std::string& path : paths) {
      Texts texts = read_texts(path, options);
      all.insert(all.end(), std::make_move_iterator(texts.begin()),
                 std::make_move_iterator(texts.end()));
    }
    return all;
  }

  void append_class_file(const std::string& entry, const ReaderOptions& options) {
    const std::size_t equals = entry.find('=');
    if (equals == std::string::npos || equals == 0 || equals + 1 == entry.size()) {
      throw DataError("--class-file", "'" + entry + "' is not of the form NAME=FILE.");
    }
    Texts texts =
        read_class_file(entry.substr(0, equals), entry.substr(equals + 1), options.encoding);
    train_.insert(train_.end(), std::make_move_iterator(texts.begin()),
                  std::make_move_iterator(texts.end()));
  }

  Texts train_;
  Texts validation_;
  Texts test_;
  std::size_t folds_ = 0;
  std::uint64_t seed_ = 0;
  bool is_generated_ = false;
};

}  // namespace examples
