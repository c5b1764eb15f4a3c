// SPDX-License-Identifier: Apache-2.0
// attention.html: test bags as contact sheets, each image shaded by its weight.
#pragma once

#include <algorithm>
#include <attn/heatmap.hpp>
#include <cstddef>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "../support/console_table.hpp"
#include "../support/grey_image.hpp"
#include "bags.hpp"
#include "experiment.hpp"

namespace examples {

/// The images of a bag side by side, four in a row, with a box for each.
struct ContactSheet {
  attn::explain::Image image{};
  std::vector<attn::explain::Box> boxes{};
};

/// Images of the wanted class get a frame.
inline ContactSheet contact_sheet(const LabelledImages& set, const Bag& bag, Index target) {
  constexpr Index kAcross = 4, kFrame = 2, kEdge = 1;
  constexpr unsigned char kGround = 60, kFrameInk = 255;
  const auto count = static_cast<Index>(bag.images.size());
  const Index across = std::min(count, kAcross), down = (count + kAcross - 1) / kAcross;
  const Index tall = set.rows + 2 * kFrame, wide = set.columns + 2 * kFrame;
  ContactSheet sheet;
  sheet.image = {.rows = down * tall, .cols = across * wide};
  std::vector<unsigned char>& bytes = sheet.image.bytes;
  bytes.assign(static_cast<std::size_t>(down * tall * across * wide), kGround);
  for (Index i = 0; i < count; ++i) {
    const attn::explain::Box box{i / kAcross * tall, i % kAcross * wide, tall, wide};
    const Index number = bag.images[static_cast<std::size_t>(i)];
    const GreyImage& image = set.images[static_cast<std::size_t>(number)];
    const bool framed = is_target(set, number, target);
    for (Index r = kEdge; r < tall - kEdge; ++r) {
      for (Index c = kEdge; c < wide - kEdge; ++c) {
        const bool on_frame = r < kFrame || c < kFrame || r >= tall - kFrame || c >= wide - kFrame;
        if (on_frame && !framed) continue;
        bytes[static_cast<std::size_t>((box.top + r) * across * wide + box.left + c)] =
            on_frame ? kFrameInk : image.at(r - kFrame, c - kFrame);
      }
    }
    sheet.boxes.push_back(box);
  }
  return sheet;
}

inline attn::explain::RegionHeatmap bag_map(const LabelledImages& set, const Bag& bag,
                                            const std::vector<double>& weights, double positive,
                                            Index target) {
  const auto wanted = std::count_if(bag.images.begin(), bag.images.end(),
                                    [&](Index i) { return is_target(set, i, target); });
  ContactSheet sheet = contact_sheet(set, bag, target);
  const std::string class_name = std::to_string(target);
  return {.image = std::move(sheet.image),
          .weights = weights,
          .regions = std::move(sheet.boxes),
          .title = positive > 0.5 ? "holds a " + class_name : "holds no " + class_name,
          .captions = {"probability " + fixed(positive, 3) + " of being positive; " +
                       std::to_string(wanted) + " of " + std::to_string(bag.images.size()) +
                       (bag.images.size() == 1 ? " image is " : " images are ") + "of class " +
                       class_name},
          .mark = (positive > 0.5) == bag.is_positive ? attn::explain::Mark::right
                                                      : attn::explain::Mark::wrong};
}

/// The first wrong answers, then right ones: positive bags before negative ones, since there is
/// something to find in them.
inline std::vector<std::size_t> shown_bags(const Findings& findings) {
  constexpr std::size_t kWrong = 8, kPositive = 12, kNegative = 4;
  std::vector<std::size_t> wrong, positive, negative;
  const auto add = [](std::vector<std::size_t>& list, std::size_t most, std::size_t b) {
    if (list.size() < most) list.push_back(b);
  };
  for (std::size_t b = 0; b < findings.test_bags.size(); ++b) {
    const bool is_positive = findings.test_bags[b].is_positive;
    const bool is_right = (findings.last.positive[b] > 0.5) == is_positive;
    if (!is_right)
      add(wrong, kWrong, b);
    else if (is_positive)
      add(positive, kPositive, b);
    else
      add(negative, kNegative, b);
  }
  std::vector<std::size_t> shown = std::move(wrong);
  shown.insert(shown.end(), positive.begin(), positive.end());
  shown.insert(shown.end(), negative.begin(), negative.end());
  return shown;
}

inline std::string bag_page(const Findings& findings, const LabelledImages& set, Index target) {
  attn::explain::HeatmapPage page{.title = "What makes a bag positive"};
  const std::string class_name = std::to_string(target);
  page.intro = {
      "Each card is a bag of images. In training all that was told of a bag was whether a " +
          class_name + " is in it, not where. The shade of an image is its attention weight in " +
          "its bag; a white frame marks the images that are of class " + class_name + ".",
      "Model: " + findings.last_model + "; AUC " +
          fixed(auc_of(findings.last, findings.test_bags), 3) + " on " +
          std::to_string(findings.test_bags.size()) +
          " test bags. In a negative bag the weights have nothing to find."};
  for (const std::size_t b : shown_bags(findings))
    page.maps.push_back(bag_map(set, findings.test_bags[b], findings.last.weights[b],
                                findings.last.positive[b], target));
  return attn::explain::heatmap_html(page);
}

}  // namespace examples
