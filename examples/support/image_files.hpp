// SPDX-License-Identifier: Apache-2.0
// The labelled images that an example learns from and is tested with: IDX files, CSV files, or
// drawn by the program.
#pragma once

#include <CLI/CLI.hpp>
#include <cstddef>
#include <iterator>
#include <string>
#include <utility>

#include "data_error.hpp"
#include "drawn_digits.hpp"
#include "grey_image.hpp"
#include "idx_file.hpp"
#include "image_csv.hpp"

namespace examples {

/// What the command line names; empty names are not given.
struct ImageFiles {
  std::string images{}, labels{};
  std::string test_images{}, test_labels{};
  std::string csv{}, test_csv{};

  bool any() const { return !images.empty() || !csv.empty(); }
};

struct ImageData {
  LabelledImages train;
  LabelledImages test;
};

inline void add_image_options(CLI::App& app, ImageFiles& files) {
  const auto add = [&](const char* name, std::string& file, const char* text) {
    app.add_option(name, file, text)->group("Data");
  };
  add("--images", files.images, "Learn from these images: an IDX file, gzip or not");
  add("--labels", files.labels, "Their labels: an IDX file, gzip or not");
  add("--test-images", files.test_images, "Test with these (default: the last sixth of --images)");
  add("--test-labels", files.test_labels, "Their labels");
  add("--csv", files.csv, "Learn from this CSV file: the pixels of a square image and its class");
  add("--test-csv", files.test_csv, "Test with this one (default: the last sixth of --csv)");
}

/// What is wrong with the names together; empty where nothing is.
inline std::string contradiction(const ImageFiles& files) {
  if (files.images.empty() != files.labels.empty()) return "--images and --labels need each other.";
  if (files.test_images.empty() != files.test_labels.empty())
    return "--test-images and --test-labels need each other.";
  if (!files.images.empty() && !files.csv.empty())
    return "only one of --images and --csv can be learnt from.";
  if (!files.test_images.empty() && files.images.empty())
    return "--test-images needs --images to learn from.";
  if (!files.test_csv.empty() && files.csv.empty()) return "--test-csv needs --csv to learn from.";
  return {};
}

namespace detail {

/// Takes the last sixth of the images away and returns it.
inline LabelledImages split_off_test(const std::string& name, LabelledImages& train) {
  const std::size_t count = train.images.size(), kept = count - count / 6;
  if (kept == count)
    throw DataError(name, "the file holds " + std::to_string(count) +
                              " images; 6 or more are needed where no file is there to test with.");
  const auto at = static_cast<std::ptrdiff_t>(kept);
  LabelledImages test{train.rows, train.columns, {}, {}};
  test.images.assign(std::make_move_iterator(train.images.begin() + at),
                     std::make_move_iterator(train.images.end()));
  test.labels.assign(train.labels.begin() + at, train.labels.end());
  train.images.resize(kept);
  train.labels.resize(kept);
  return test;
}

}  // namespace detail

/// Reads what is named, of which something must be: contradiction() has been asked.
inline ImageData read_images(const ImageFiles& files) {
  const bool idx = !files.images.empty();
  const std::string& name = idx ? files.images : files.csv;
  const std::string& test_name = idx ? files.test_images : files.test_csv;
  const auto read = [&](const std::string& file, const std::string& labels) {
    return idx ? read_idx(file, labels) : read_image_csv(file);
  };
  ImageData data;
  data.train = read(name, files.labels);
  data.test = test_name.empty() ? detail::split_off_test(name, data.train)
                                : read(test_name, files.test_labels);
  const LabelledImages &train = data.train, &test = data.test;
  if (train.rows != test.rows || train.columns != test.columns)
    throw DataError(test_name, "the images are " + size_text(test.rows, test.columns) +
                                   " pixels, and those of " + name + " are " +
                                   size_text(train.rows, train.columns) +
                                   "; both must have one size.");
  if (test.classes() > train.classes())
    throw DataError(test_name.empty() ? name : test_name,
                    "the class " + std::to_string(test.classes() - 1) +
                        " has no example in the training data.");
  return data;
}

}  // namespace examples
