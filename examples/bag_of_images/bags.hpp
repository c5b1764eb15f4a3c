// SPDX-License-Identifier: Apache-2.0
// Bags of images with one label for the whole bag: positive where an image of the wanted class is
// in it. Which image that is, nobody says.
//
//     size ~ round(normal(mean, deviation)), at least 1;  images drawn with replacement
//
// Source: Ilse, Tomczak and Welling 2018, section 4.2 (MNIST-bags).
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "../support/data_error.hpp"
#include "../support/grey_image.hpp"
#include "../support/matrix.hpp"
#include "../support/random.hpp"
#include "settings.hpp"

namespace examples {

struct Bag {
  std::vector<Index> images;  // numbers of images of the set
  bool is_positive = false;
};

inline bool is_target(const LabelledImages& set, Index image, Index target) {
  return set.labels[static_cast<std::size_t>(image)] == target;
}

inline std::vector<Bag> make_bags(const LabelledImages& set, const BagRules& rules, Index count,
                                  std::uint64_t seed) {
  if (std::find(set.labels.begin(), set.labels.end(), rules.target) == set.labels.end())
    throw DataError("no image has the class " + std::to_string(rules.target) +
                    " that --target asks for; the classes are 0 to " +
                    std::to_string(set.classes() - 1) + ".");
  std::vector<Bag> bags(static_cast<std::size_t>(count));
  for (std::size_t b = 0; b < bags.size(); ++b) {
    Random random(seed_of_part(seed, b));
    const double drawn =
        rules.mean_size + rules.size_deviation * static_cast<double>(random.normal());
    const Index size = std::max<Index>(1, std::lround(drawn));
    for (Index i = 0; i < size; ++i) {
      const auto image = static_cast<Index>(random.below(set.images.size()));
      bags[b].images.push_back(image);
      bags[b].is_positive = bags[b].is_positive || is_target(set, image, rules.target);
    }
  }
  return bags;
}

/// Bags one behind the other: bag b has the rows offsets[b] to offsets[b + 1] - 1.
template <typename T>
struct BasicBagBatch {
  MatrixOf<T> images;  // a row an image, pixels from 0 to 1
  std::vector<Index> offsets{0};
  std::vector<Index> labels;  // 1 for a positive bag

  Index size() const { return static_cast<Index>(labels.size()); }
};
using BagBatch = BasicBagBatch<float>;

/// The image moved by up to one pixel in each direction, as `random` says.
inline GreyImage nudged(const GreyImage& image, Random& random) {
  const auto step = [&] { return static_cast<Index>(random.below(3)) - 1; };
  const Index down = step(), right = step();
  GreyImage moved(image.rows, image.columns);
  for (Index r = std::max<Index>(0, down); r < image.rows + std::min<Index>(0, down); ++r) {
    for (Index c = std::max<Index>(0, right); c < image.columns + std::min<Index>(0, right); ++c)
      moved.at(r, c) = image.at(r - down, c - right);
  }
  return moved;
}

/// The chosen bags; `nudge` moves each image a little, other than in the epoch before.
inline BagBatch batch_of(const LabelledImages& set, std::span<const Bag> bags,
                         std::span<const Index> chosen, Random* nudge = nullptr) {
  BagBatch batch;
  for (const Index b : chosen) {
    const Bag& bag = bags[static_cast<std::size_t>(b)];
    batch.offsets.push_back(batch.offsets.back() + static_cast<Index>(bag.images.size()));
    batch.labels.push_back(bag.is_positive ? 1 : 0);
  }
  batch.images.resize(batch.offsets.back(), set.rows * set.columns);
  Index row = 0;
  for (const Index b : chosen) {
    for (const Index i : bags[static_cast<std::size_t>(b)].images) {
      const GreyImage& image = set.images[static_cast<std::size_t>(i)];
      batch.images.row(row++) = scaled_pixels(nudge ? nudged(image, *nudge) : image);
    }
  }
  return batch;
}

}  // namespace examples
