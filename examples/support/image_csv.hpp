// SPDX-License-Identifier: Apache-2.0
// Images as comma-separated rows: the pixels of a square image row by row, then its class.
//
//     0,0,5,13,9,1,...,0,0      64 numbers and the class 0: an image of 8 x 8 pixels
//
// This is how the UCI repository keeps its optical digits (Alpaydin and Kaynak 1998), whose pixels
// count the ink of 4 x 4 blocks: 0 to 16.
#pragma once

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "data_error.hpp"
#include "delimited.hpp"
#include "grey_image.hpp"
#include "text_file.hpp"

namespace examples {

/// Reads row after row; the first one decides about the size of the images.
class ImageCsvReader {
 public:
  explicit ImageCsvReader(std::string name) : name_(std::move(name)) {}

  LabelledImages read(std::string_view text) {
    for (const Line& line : split_lines(text)) {
      if (!trimmed(line.text).empty()) add(line);
    }
    if (set_.labels.empty()) throw DataError(name_, "the file holds no image.");
    const float scale = 255 / full_ink();
    for (const std::vector<float>& values : values_) {
      GreyImage image(set_.rows, set_.columns);
      std::transform(values.begin(), values.end(), image.pixels.begin(),
                     [&](float v) { return static_cast<std::uint8_t>(std::lround(v * scale)); });
      set_.images.push_back(std::move(image));
    }
    return std::move(set_);
  }

 private:
  static constexpr Index kMostClasses = 1000;

  void add(const Line& line) {
    const DelimitedText parsed = read_delimited(line.text, ',');
    if (parsed.error) throw DataError(name_, line.number, parsed.error->sentence);
    if (parsed.rows.empty()) return;  // a field that is quoted and empty is as good as none
    const std::vector<std::string>& fields = parsed.rows.front().fields;
    if (values_.empty()) set_size(line.number, fields.size());
    if (fields.size() != fields_)
      throw DataError(name_, line.number,
                      "this row has " + std::to_string(fields.size()) +
                          " numbers and the first has " + std::to_string(fields_) + ".");
    std::vector<float> values;
    for (std::size_t i = 0; i + 1 < fields.size(); ++i) values.push_back(pixel(line, fields[i]));
    set_.labels.push_back(label(line, fields.back()));
    values_.push_back(std::move(values));
  }

  void set_size(std::size_t line, std::size_t fields) {
    const auto side = static_cast<Index>(std::lround(std::sqrt(static_cast<double>(fields - 1))));
    const bool square = static_cast<std::size_t>(side * side) == fields - 1;
    if (side < 1 || side > kLargestImageSide || !square)
      throw DataError(name_, line,
                      "this row has " + std::to_string(fields) +
                          " numbers; the pixels of a square image and its class are needed, such "
                          "as 64 + 1.");
    fields_ = fields;
    set_.rows = set_.columns = side;
  }

  template <typename Number>
  Number number(const Line& line, std::string_view text) const {
    const std::string_view digits = trimmed(text);
    Number value{};
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    if (error != std::errc() || end != digits.data() + digits.size())
      throw DataError(name_, line.number, "'" + shown(text) + "' is not a number.");
    return value;
  }

  float pixel(const Line& line, std::string_view text) {
    const float value = number<float>(line, text);
    if (!(value >= 0 && value <= 255))
      throw DataError(name_, line.number,
                      "the pixel '" + shown(text) + "' is not between 0 and 255.");
    largest_ = std::max(largest_, value);
    return value;
  }

  Index label(const Line& line, std::string_view text) const {
    const Index value = number<Index>(line, text);
    if (value < 0 || value >= kMostClasses)
      throw DataError(name_, line.number,
                      "the class " + std::to_string(value) + " is not between 0 and " +
                          std::to_string(kMostClasses - 1) + ".");
    return value;
  }

  /// The first of the usual scales that holds every pixel, so that two files of one set agree
  /// although the darkest pixels of the two may differ.
  float full_ink() const { return largest_ <= 1 ? 1.f : largest_ <= 16 ? 16.f : 255.f; }

  std::string name_;
  std::size_t fields_ = 0;
  float largest_ = 0;
  LabelledImages set_;
  std::vector<std::vector<float>> values_;
};

inline LabelledImages parse_image_csv(const std::string& name, std::string_view text) {
  return ImageCsvReader(name).read(text);
}

inline LabelledImages read_image_csv(const std::string& path) {
  return parse_image_csv(path, read_text(path));
}

}  // namespace examples
