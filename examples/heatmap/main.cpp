// SPDX-License-Identifier: Apache-2.0
// Attention to look at: tokens.html, alignment.html and regions.html, with weights known by hand.
//
//     softmax_j(q . k_j) with q . k_j = log c_j is c_j / sum c, so counts c choose the weights
#include <cmath>
#include <cstddef>
#include <fstream>
#include <iostream>
#include <limits>
#include <string>
#include <vector>

#include <Eigen/Core>
#include <attn/attn.hpp>

namespace {

using attn::explain::AlignmentHeatmap;
using attn::explain::Box;
using attn::explain::HeatmapPage;
using attn::explain::Image;
using attn::explain::Mark;
using attn::explain::RegionHeatmap;
using attn::explain::TokenHeatmap;
using Eigen::MatrixXf;

/// One query whose weights are proportional to `counts`.
MatrixXf weights_of(const Eigen::VectorXf& counts) {
  const MatrixXf Q = counts.array().log().transpose();
  const MatrixXf K = MatrixXf::Identity(counts.size(), counts.size());
  return attn::attention_weights(Q, K, attn::DotProduct{});
}

HeatmapPage tokens_page() {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  return {.title = "Words that decide",
          .intro = {"Film reviews, shaded by what a classifier might have looked at."},
          .maps = {TokenHeatmap{.tokens = {"not", "good", "at", "all"},
                                .weights = weights_of(Eigen::Vector4f(6, 11, 1, 2)),
                                .between = {"The film was ", " ", " ", " ", "."},
                                .marked = {0, 1},
                                .title = "bad (97.0 %)",
                                .mark = Mark::right},
                   TokenHeatmap{.tokens = {"good", "for", "a", "laugh"},
                                .weights = weights_of(Eigen::Vector4f(14, 1, 1, 4)),
                                .marked = {3},
                                .title = "good (81.0 %)",
                                .captions = {"is bad"},
                                .mark = Mark::wrong},
                   TokenHeatmap{.tokens = {"\"NaN\"", "<b>", "&amp;", "\xFF", "\n", ""},
                                .weights = std::vector<float>{nan, .1f, .2f, .3f, .2f, .2f},
                                .title = "Tokens are any bytes, weights may be none"}},
          .marked = "word that decides"};
}

HeatmapPage alignment_page() {
  MatrixXf counts(3, 6);        // two heads side by side: one follows the words, one spreads
  counts << 18, 1, 1, 2, 1, 1,  //
      1, 1, 18, 1, 2, 1,        //
      1, 18, 1, 1, 1, 2;
  const MatrixXf Q = counts.array().log();
  const MatrixXf K = MatrixXf::Identity(3, 3).replicate(1, 2);
  const MatrixXf P = attn::attention_weights(Q, K, attn::DotProduct{}, attn::Heads{2});
  MatrixXf far = MatrixXf::Zero(80, 80);  // too many for labels: numbers at the pointer alone
  for (attn::Index i = 0; i < 80; ++i) {
    for (attn::Index j = 0; j <= i; ++j) far(i, j) = std::exp(-0.15f * static_cast<float>(i - j));
    far.row(i) /= far.row(i).sum();
  }
  return {.title = "Which word looks at which",
          .intro = {"A row is a word that is written, a column one that is read."},
          .maps = {AlignmentHeatmap{.queries = {"the", "black", "cat"},
                                    .keys = {"le", "chat", "noir"},
                                    .weights = P,
                                    .heads = 2,
                                    .query_name = "written",
                                    .key_name = "read",
                                    .title = "le chat noir"},
                   AlignmentHeatmap{
                       .weights = far, .by_row = true, .title = "80 tokens, causal, fading"}}};
}

/// A bright disc on a slope of grey, in one channel or, tinted, in three.
Image disc(attn::Index channels) {
  Image image{.rows = 24, .cols = 32, .channels = channels};
  for (int row = 0; row < 24; ++row) {
    for (int col = 0; col < 32; ++col) {
      const bool is_inside = std::hypot(row - 8, col - 22) < 5;
      for (int c = 0; c < channels; ++c)
        image.bytes.push_back(static_cast<unsigned char>(is_inside ? 235 - 40 * c : 3 * col + 20));
    }
  }
  return image;
}

HeatmapPage regions_page() {
  const Box truth{3, 17, 11, 11};
  std::vector<Box> windows;  // 8 x 8 pixels, half of them shared with the next
  std::vector<float> counts;
  for (attn::Index top = 0; top <= 16; top += 4) {
    for (attn::Index left = 0; left <= 24; left += 4) {
      windows.push_back({top, left, 8, 8});
      const auto distance = std::hypot(static_cast<float>(top - 4), static_cast<float>(left - 18));
      counts.push_back(std::exp(-0.02f * distance * distance));
    }
  }
  const auto n = static_cast<attn::Index>(counts.size());
  return {.title = "Where the disc is",
          .maps = {RegionHeatmap{.image = disc(1),
                                 .weights = Eigen::Matrix2f{{.1f, .6f}, {.1f, .2f}},
                                 .truth = truth,
                                 .title = "an even grid",
                                 .mark = Mark::right},
                   RegionHeatmap{.image = disc(3),
                                 .weights = weights_of(Eigen::VectorXf::Map(counts.data(), n)),
                                 .regions = windows,
                                 .truth = truth,
                                 .title = "windows that overlap",
                                 .captions = {"the image has three channels"},
                                 .mark = Mark::right}},
          .truth = "the disc"};
}

void write(const std::string& path, const HeatmapPage& page) {
  std::ofstream(path, std::ios::binary) << attn::explain::heatmap_html(page);
  std::cout << path << '\n';
}

}  // namespace

int main() {
  write("tokens.html", tokens_page());
  write("alignment.html", alignment_page());
  write("regions.html", regions_page());
}
