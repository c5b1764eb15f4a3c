// SPDX-License-Identifier: Apache-2.0
// What a page of weights is refused for, before any of it is written.
#pragma once

#include <algorithm>
#include <cstddef>
#include <initializer_list>
#include <iterator>
#include <string>
#include <string_view>

#include <attn/check.hpp>
#include <attn/config.hpp>
#include <attn/heatmap_page.hpp>

ATTN_BEGIN_NAMESPACE
namespace engine::heatmap {

/// The subject of the sentences: which map of the page, by number and title.
class Place {
 public:
  Place(std::size_t map, const std::string& title)
      : text_(std::string("explain::heatmap_html: map ") + std::to_string(map + 1)) {
    if (!title.empty()) text_ += " (\"" + title + "\")";
    text_ += ": ";
  }

  template <class Error>
  [[noreturn]] void refuse(std::initializer_list<Word> words) const {
    std::string rest;
    for (const Word& word : words) rest += word.text;
    raise<Error>({text_, rest});
  }

 private:
  std::string text_;
};

/// Shades begin at 0. NaN and inf are shown as what they are.
inline void check_weights(const Place& place, const explain::Weights& weights) {
  for (Index k = 0; k < weights.size(); ++k) {
    if (weights[k] < 0) {
      place.refuse<ValueError>({"weight ", k, " is ", weights[k],
                                "; a shade shows a weight from 0 up. Show signed scores by their ",
                                "absolute values, or as two maps."});
    }
  }
}

inline void check_map(const Place& place, const explain::TokenHeatmap& map) {
  const Index n = std::ssize(map.tokens);
  if (map.weights.size() != n) {
    place.refuse<ShapeError>({"weights has ", map.weights.size(), " numbers and tokens has ", n,
                              "; each token needs one weight."});
  }
  if (!map.between.empty() && std::ssize(map.between) != n + 1) {
    place.refuse<ShapeError>({"between has ", std::ssize(map.between), " pieces and tokens has ", n,
                              "; one piece stands before each token and one behind the last, or ",
                              "between is empty."});
  }
  for (const Index token : map.marked) {
    if (token < 0 || token >= n) {
      place.refuse<ValueError>(
          {"marked names token ", token, " of ", n, "; tokens are counted from 0."});
    }
  }
  check_weights(place, map.weights);
}

inline void check_labels(const Place& place, std::string_view name, Index labels,
                         std::string_view what, Index count) {
  if (labels == 0 || labels == count) return;
  place.refuse<ShapeError>({name, " has ", labels, " labels and weights has ", count, " ", what,
                            "; each needs one, or ", name, " is empty."});
}

inline void check_map(const Place& place, const explain::AlignmentHeatmap& map) {
  const Index rows = map.weights.rows();
  if (map.heads < 1) place.refuse<ValueError>({"heads is ", map.heads, "; it is 1 or more."});
  if (rows % map.heads != 0) {
    place.refuse<ShapeError>({"weights has ", rows, " rows and heads is ", map.heads,
                              "; the heads stand below one another, so their number divides that ",
                              "of the rows."});
  }
  check_labels(place, "queries", std::ssize(map.queries), map.heads == 1 ? "rows" : "rows a head",
               rows / map.heads);
  check_labels(place, "keys", std::ssize(map.keys), "columns", map.weights.cols());
  check_weights(place, map.weights);
}

inline void check_box(const Place& place, const std::string& name, const explain::Box& box,
                      const explain::Image& image) {
  const bool is_inside = box.top >= 0 && box.left >= 0 && box.rows >= 1 && box.cols >= 1 &&
                         box.rows <= image.rows - box.top && box.cols <= image.cols - box.left;
  if (is_inside) return;
  place.refuse<ShapeError>({name, " is ", size_text(box.rows, box.cols), " at row ", box.top,
                            ", column ", box.left, " and the image is ",
                            size_text(image.rows, image.cols),
                            "; a box has a pixel or more and lies within the image."});
}

inline void check_image(const Place& place, const explain::Image& image) {
  // As many as any browser shows; more were never meant.
  constexpr Index kLargestSide = 16384;
  if (image.channels != 1 && image.channels != 3) {
    place.refuse<ValueError>({"the image has ", image.channels,
                              " channels; 1 (grey) and 3 (red, green, blue) can be shown."});
  }
  if (std::min(image.rows, image.cols) < 1 || std::max(image.rows, image.cols) > kLargestSide) {
    place.refuse<ShapeError>({"the image is ", size_text(image.rows, image.cols),
                              "; each side has 1 to ", kLargestSide, " pixels."});
  }
  const Index bytes = image.rows * image.cols * image.channels;
  if (std::ssize(image.bytes) != bytes) {
    place.refuse<ShapeError>({"the image has ", std::ssize(image.bytes), " bytes; ",
                              size_text(image.rows, image.cols),
                              " pixels with channels = ", image.channels, " are ", bytes, "."});
  }
}

inline void check_map(const Place& place, const explain::RegionHeatmap& map) {
  check_image(place, map.image);
  const Index rows = map.weights.rows(), cols = map.weights.cols();
  if (map.regions.empty() && (rows > map.image.rows || cols > map.image.cols)) {
    place.refuse<ShapeError>({"weights is ", size_text(rows, cols), " and the image ",
                              size_text(map.image.rows, map.image.cols),
                              "; a grid over the image needs a pixel or more for each weight."});
  }
  if (!map.regions.empty() && std::ssize(map.regions) != map.weights.size()) {
    place.refuse<ShapeError>({"weights has ", map.weights.size(), " numbers and regions has ",
                              std::ssize(map.regions), " boxes; each region needs one weight."});
  }
  for (std::size_t k = 0; k < map.regions.size(); ++k)
    check_box(place, std::string("region ") + std::to_string(k), map.regions[k], map.image);
  if (map.truth) check_box(place, "the true box", *map.truth, map.image);
  check_weights(place, map.weights);
}

}  // namespace engine::heatmap
ATTN_END_NAMESPACE
