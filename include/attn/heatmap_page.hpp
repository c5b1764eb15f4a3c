// SPDX-License-Identifier: Apache-2.0
// What a page of weights shows: tokens, alignments of tokens with tokens, regions of images.
//
//     weights of attention_weights,  -> TokenHeatmap      w_j, a shade each
//     AttentionPooling, explain         AlignmentHeatmap  P_ij, a table a head
//                                       RegionHeatmap     w_r over an image
//
// All are values to be filled with designated initialisers. Next: heatmap.hpp turns them into HTML.
#pragma once

#include <algorithm>
#include <cstddef>
#include <initializer_list>
#include <optional>
#include <ranges>
#include <string>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include <attn/config.hpp>

ATTN_BEGIN_NAMESPACE
namespace explain {

template <class T>
concept EigenObject = requires {
  typename T::PlainObject;
};

/// A range of numbers. Eigen's vectors, which are ranges too, are taken as what they are.
template <class R>
concept NumberRange = !EigenObject<R> && std::ranges::input_range<const R> &&
                      std::is_arithmetic_v<std::ranges::range_value_t<const R>>;

/// Weights as they come: a dense Eigen expression of any real scalar and either storage order, or a
/// range of numbers (one row). Kept as double.
///
///     .weights = attention_weights(Q, K, Causal{})
///     .weights = {0.1, 0.7, 0.2}
class Weights {
 public:
  Weights() = default;

  template <class Derived>
  Weights(const Eigen::DenseBase<Derived>& weights)  // NOLINT(google-explicit-constructor)
      : values_(weights.derived().template cast<double>()) {}

  template <NumberRange R>
  Weights(const R& weights) {  // NOLINT(google-explicit-constructor)
    std::vector<double> row;
    for (const auto weight : weights) row.push_back(static_cast<double>(weight));
    take(row);
  }

  Weights(std::initializer_list<double> weights) { take(std::vector<double>(weights)); }

  Index rows() const { return values_.rows(); }
  Index cols() const { return values_.cols(); }
  Index size() const { return values_.size(); }
  double operator()(Index row, Index col) const { return values_(row, col); }
  /// The k-th in reading order: row after row.
  double operator[](Index k) const { return values_.data()[k]; }

 private:
  void take(const std::vector<double>& row) {
    values_ = Eigen::Map<const Matrix>(row.data(), 1, static_cast<Index>(row.size()));
  }

  using Matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  Matrix values_;
};

/// Whether the answer that a map belongs to is right; pages with marks can be filtered by them.
enum class Mark { none, right, wrong };

/// A sequence whose tokens are shaded by one weight each.
///
/// Params      tokens    any bytes: what is not UTF-8 is shown as U+FFFD
///             weights   one a token, from 0 up; relative to the largest of them they are the shade
///             between   the text before each token and behind the last: tokens + 1 pieces; where
///                       empty, a space stands between tokens
///             marked    indices of tokens to underline; `HeatmapPage::marked` says what they are
///             title, captions   a bold line and lines below it; left out where empty
struct TokenHeatmap {
  std::vector<std::string> tokens{};
  Weights weights{};
  std::vector<std::string> between{};
  std::vector<Index> marked{};
  std::string title{};
  std::vector<std::string> captions{};
  Mark mark = Mark::none;
};

/// Which key each query looks at: a row a query, a column a key.
///
/// Shapes      weights  n_q x n_k, or heads n_q x n_k with the heads below one another, as
///                      `attention_weights(Q, K, Heads{heads})` returns them: a panel a head
/// Params      queries, keys  the labels of rows and columns; numbers where empty
///             heads          how many panels `weights` holds
///             by_row         full shade is the largest weight of each row, not of the whole head:
///                            for rows of very different lengths, as causal ones are
///             query_name, key_name   what rows and columns are
struct AlignmentHeatmap {
  std::vector<std::string> queries{};
  std::vector<std::string> keys{};
  Weights weights{};
  Index heads = 1;
  bool by_row = false;
  std::string query_name = "query";
  std::string key_name = "key";
  std::string title{};
  std::vector<std::string> captions{};
  Mark mark = Mark::none;
};

/// A rectangle of pixels: rows top to top + rows - 1, columns left to left + cols - 1.
struct Box {
  Index top = 0;
  Index left = 0;
  Index rows = 0;
  Index cols = 0;
};

/// An image as bytes, row after row from the top: one byte a pixel (grey), or three (red, green,
/// blue).
struct Image {
  Index rows = 0;
  Index cols = 0;
  Index channels = 1;
  std::vector<unsigned char> bytes{};

  /// A grey image of numbers from 0 (black) to 1 (white); what is outside is clamped, NaN is black.
  template <class Derived>
  static Image grey(const Eigen::DenseBase<Derived>& pixels) {
    Image image{.rows = pixels.rows(), .cols = pixels.cols()};
    image.bytes.reserve(static_cast<std::size_t>(pixels.size()));
    for (Index row = 0; row < pixels.rows(); ++row) {
      for (Index col = 0; col < pixels.cols(); ++col) {
        const auto light = static_cast<double>(pixels.derived().coeff(row, col));
        const double level = light > 0 ? std::min(light, 1.0) * 255 + 0.5 : 0;
        image.bytes.push_back(static_cast<unsigned char>(level));
      }
    }
    return image;
  }
};

/// An image whose regions are shaded by one weight each; where regions overlap, a pixel takes the
/// mean of their shades.
///
/// Shapes      weights  one a region; without `regions` r x c, laid over the image as an even grid
/// Params      regions  the boxes, in the order of the weights (of a matrix: row after row)
///             truth    a box to be drawn as it is; `HeatmapPage::truth` says what it is
struct RegionHeatmap {
  Image image{};
  Weights weights{};
  std::vector<Box> regions{};
  std::optional<Box> truth{};
  std::string title{};
  std::vector<std::string> captions{};
  Mark mark = Mark::none;
};

using Heatmap = std::variant<TokenHeatmap, AlignmentHeatmap, RegionHeatmap>;

/// A page: maps in the order in which they are to be read.
///
/// Params      intro    paragraphs above the maps
///             marked   what the underlined tokens are, in the legend
///             truth    what the dashed box is, in the legend
struct HeatmapPage {
  std::string title = "Attention";
  std::vector<std::string> intro{};
  std::vector<Heatmap> maps{};
  std::string marked = "marked token";
  std::string truth = "true box";
};

}  // namespace explain
ATTN_END_NAMESPACE
