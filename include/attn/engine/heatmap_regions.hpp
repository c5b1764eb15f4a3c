// SPDX-License-Identifier: Apache-2.0
// The card of an image: the image as it is beside the image under the weights of its regions.
//
//     heat(pixel) = mean of the shades of the regions that cover it, 0 where there is none
//
// The heat lies over the image as a second one of a single colour, opaque in proportion; the cells
// above it are transparent rectangles that hold the numbers.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <numeric>
#include <string>
#include <string_view>
#include <vector>

#include <attn/config.hpp>
#include <attn/engine/heatmap_cards.hpp>
#include <attn/engine/png.hpp>
#include <attn/heatmap_page.hpp>

ATTN_BEGIN_NAMESPACE
namespace engine::heatmap {

using explain::Box;

/// An even grid of boxes that cover the image: box (r, c) of rows x cols.
inline std::vector<Box> even_grid(const explain::Image& image, Index rows, Index cols) {
  std::vector<Box> boxes;
  for (Index r = 0; r < rows; ++r) {
    for (Index c = 0; c < cols; ++c) {
      const Index top = r * image.rows / rows, left = c * image.cols / cols;
      boxes.push_back(
          {top, left, (r + 1) * image.rows / rows - top, (c + 1) * image.cols / cols - left});
    }
  }
  return boxes;
}

/// The opaque end of the heat, on images of any lightness in light and dark pages alike.
inline constexpr std::string_view kHeatColor = "\xFF\x7A\x10";

/// The heat as an image of its own, on a raster of at most kLongest points a side.
class HeatImage {
 public:
  HeatImage(const explain::Image& image, const std::vector<Box>& boxes,
            const explain::Weights& weights)
      : step_((std::max(image.rows, image.cols) + kLongest - 1) / kLongest),
        heat_(Plane::Zero(points(image.rows), points(image.cols))) {
    Plane cover = heat_;
    Scale scale;
    for (Index k = 0; k < weights.size(); ++k) scale.include(weights[k]);
    for (std::size_t k = 0; k < boxes.size(); ++k) {
      const Index top = boxes[k].top / step_, left = boxes[k].left / step_;
      const Index rows = points(boxes[k].top + boxes[k].rows) - top;
      const Index cols = points(boxes[k].left + boxes[k].cols) - left;
      cover.block(top, left, rows, cols) += 1;
      heat_.block(top, left, rows, cols) += scale.shade(weights[static_cast<Index>(k)]);
    }
    heat_ /= cover.max(1);
  }

  std::string uri() const {
    // Few levels keep the palette small; the eye tells fewer apart.
    constexpr int kLevels = 64;
    constexpr double kMostOpaque = 0.78 * 255;
    std::string palette, opacity;
    for (int level = 0; level < kLevels; ++level) {
      palette += kHeatColor;
      opacity += static_cast<char>(static_cast<int>(kMostOpaque * level / (kLevels - 1)));
    }
    const double largest = heat_.size() > 0 ? heat_.maxCoeff() : 0;
    const double unit = largest > 0 ? (kLevels - 1) / largest : 0;
    std::string pixels;
    for (Index k = 0; k < heat_.size(); ++k)
      pixels += static_cast<char>(static_cast<int>(heat_.data()[k] * unit + 0.5));
    return png_uri(
        png_file(heat_.rows(), heat_.cols(), PngColor::palette, pixels, palette, opacity));
  }

 private:
  using Plane = Eigen::Array<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  static constexpr Index kLongest = 256;
  Index points(Index pixels) const { return (pixels + step_ - 1) / step_; }

  Index step_;
  Plane heat_;
};

inline std::string image_uri(const explain::Image& image) {
  const std::string bytes(image.bytes.begin(), image.bytes.end());
  const PngColor color = image.channels == 3 ? PngColor::rgb : PngColor::grey;
  return png_uri(png_file(image.rows, image.cols, color, bytes));
}

/// The two pictures of an image and the boxes over them.
class RegionPanels {
 public:
  explicit RegionPanels(const explain::RegionHeatmap& map)
      : map_(map),
        boxes_(map.regions.empty() ? even_grid(map.image, map.weights.rows(), map.weights.cols())
                                   : map.regions) {
    for (Index k = 0; k < map.weights.size(); ++k) {
      scale_.include(map.weights[k]);
      share_.include(map.weights[k]);
    }
  }

  std::string full_shade() const { return full_shade_note(weight_text(scale_.largest)); }

  std::string html() const {
    const Index columns = map_.regions.empty() ? map_.weights.cols() : 1;
    const std::string count = std::to_string(boxes_.size());
    return std::string("<div class=\"panels\" style=\"--image:url(") + image_uri(map_.image) +
           ");--rendering:" + (zoom() >= 2 ? "pixelated" : "auto") +
           "\">\n<figure><div class=\"picture\" role=\"img\" "
           "aria-label=\"the image\"" +
           size() + ">" + truth() + strongest() + "</div></figure>\n<figure><div " +
           map_attributes("picture", columns, count + " regions and their weights") +
           " role=\"group\"" + size() + "><img alt=\"\" src=\"" +
           HeatImage(map_.image, boxes_, map_.weights).uri() + "\">" + cells() + truth() +
           "</div></figure>\n</div>\n";
  }

 private:
  // Two pictures stand beside each other.
  static constexpr double kWidth = 280;

  double zoom() const {
    const double fit = kWidth / static_cast<double>(std::max(map_.image.rows, map_.image.cols));
    return fit >= 1 ? std::min(std::floor(fit), 12.) : fit;
  }
  std::string size() const {
    return std::string(" style=\"width:") +
           number_text(general, 6, zoom() * static_cast<double>(map_.image.cols)) +
           "px;aspect-ratio:" + std::to_string(map_.image.cols) + "/" +
           std::to_string(map_.image.rows) + "\"";
  }
  /// In shares of the image, so that boxes follow its size.
  std::string placed(const Box& box) const {
    const auto share = [](Index part, Index whole) {
      return number_text(general, 4, 100 * static_cast<double>(part) / static_cast<double>(whole)) +
             "%";
    };
    return std::string("left:") + share(box.left, map_.image.cols) +
           ";top:" + share(box.top, map_.image.rows) +
           ";width:" + share(box.cols, map_.image.cols) +
           ";height:" + share(box.rows, map_.image.rows);
  }
  std::string frame(std::string_view kind, const Box& box) const {
    return std::string("<i class=\"box ") + std::string(kind) + "\" style=\"" + placed(box) +
           "\"></i>";
  }
  std::string truth() const { return map_.truth ? frame("truth", *map_.truth) : std::string(); }

  /// The boxes from the weakest on: where they overlap, the pointer meets the strongest.
  std::vector<std::size_t> ranks() const {
    std::vector<std::size_t> order(boxes_.size()), ranks(boxes_.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    const auto shade = [&](std::size_t k) {
      return scale_.shade(map_.weights[static_cast<Index>(k)]);
    };
    std::stable_sort(order.begin(), order.end(),
                     [&](std::size_t a, std::size_t b) { return shade(a) < shade(b); });
    for (std::size_t rank = 0; rank < order.size(); ++rank) ranks[order[rank]] = rank;
    return ranks;
  }
  std::string strongest() const {
    for (std::size_t k = 0; k < boxes_.size(); ++k) {
      const double weight = map_.weights[static_cast<Index>(k)];
      if (scale_.largest > 0 && weight == scale_.largest) return frame("strongest", boxes_[k]);
    }
    return {};
  }

  std::string cells() const {
    const std::vector<std::size_t> rank = ranks();
    std::string html;
    for (std::size_t k = 0; k < boxes_.size(); ++k) {
      const double weight = map_.weights[static_cast<Index>(k)];
      const Box& box = boxes_[k];
      const std::string tooltip =
          weight_text(weight) + "\nregion, index " + std::to_string(k) + " of " +
          std::to_string(boxes_.size()) + ": rows " + std::to_string(box.top) + " to " +
          std::to_string(box.top + box.rows - 1) + ", columns " + std::to_string(box.left) +
          " to " + std::to_string(box.left + box.cols - 1) + share_.times(weight);
      html += std::string("<i ") +
              cell_attributes(
                  weight, scale_, tooltip, {},
                  std::string(";") + placed(box) + ";z-index:" + std::to_string(rank[k] + 1)) +
              "></i>";
    }
    return html;
  }

  const explain::RegionHeatmap& map_;
  std::vector<Box> boxes_;
  Scale scale_;
  EvenShare share_;
};

inline std::string card(const explain::RegionHeatmap& map) {
  const RegionPanels panels(map);
  return framed(map, panels.full_shade(), panels.html());
}

}  // namespace engine::heatmap
ATTN_END_NAMESPACE
