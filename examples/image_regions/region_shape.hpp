// SPDX-License-Identifier: Apache-2.0
// What a model of regions is made of: sizes, and which of the alternatives.
#pragma once

#include <array>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "../support/convolution.hpp"
#include "../support/matrix.hpp"

namespace examples {

enum class FeatureKind { kConvolution, kPatches };
inline constexpr std::array<std::pair<std::string_view, FeatureKind>, 2> kFeatureNames = {
    {{"convolution", FeatureKind::kConvolution}, {"patches", FeatureKind::kPatches}}};

enum class PoolingKind { kNone, kAdditive, kScaledDot };
inline constexpr std::array<std::pair<std::string_view, PoolingKind>, 3> kPoolingNames = {
    {{"none", PoolingKind::kNone},
     {"additive", PoolingKind::kAdditive},
     {"scaled_dot", PoolingKind::kScaledDot}}};

template <typename Names, typename Kind>
std::string_view name_of(const Names& names, Kind kind) {
  return names[static_cast<std::size_t>(kind)].first;
}

/// Rows and columns of a canvas.
inline constexpr Index kLargestCanvas = 1024;

/// How a canvas becomes regions.
struct RegionShape {
  Index rows = 60;  // of the canvas, which is a square
  Index columns = 60;
  FeatureKind features = FeatureKind::kConvolution;
  Index stride = 4;  // pixels from region to region; of convolutions 2 or 4
  Index patch = 24;  // pixels along a side of a patch
  Index channels = 64;

  /// Every layer keeps the regions centred on squares that share out the canvas. Four layers of
  /// convolution see 28 x 28 pixels with the stride 4, and 10 x 10 with the stride 2.
  std::vector<ConvolutionOptions> layers() const {
    if (features == FeatureKind::kPatches)
      return {{.inputs = 1,
               .outputs = channels,
               .size = patch,
               .stride = stride,
               .padding = (patch - stride) / 2}};
    ConvolutionOptions first{.inputs = 1, .outputs = 16, .size = 6, .stride = 2, .padding = 2};
    if (stride == 2) first = {.inputs = 1, .outputs = 16, .size = 3, .stride = 1, .padding = 1};
    const Index dilation = stride / 2;
    return {first,
            {.inputs = 16, .outputs = 32, .size = 4, .stride = 2, .padding = 1},
            {.inputs = 32, .outputs = 48, .size = 3, .padding = dilation, .dilation = dilation},
            {.inputs = 48, .outputs = channels, .size = 1}};
  }
};

struct RegionModelShape {
  RegionShape regions{};
  PoolingKind attention = PoolingKind::kAdditive;
  Index attention_dim = 32;
  Index pooled = 64;  // numbers that describe a canvas
  bool self_attention = false;
  Index heads = 4;  // of the self-attention
  Index classes = 10;

  /// Self-attention, and a pooling of patches, cannot tell places apart unless they are told.
  bool has_positions() const { return self_attention || regions.features == FeatureKind::kPatches; }
};

/// What makes a shape impossible, as one sentence; empty where nothing does.
inline std::string contradiction(const RegionModelShape& shape) {
  const RegionShape& r = shape.regions;
  const bool patches = r.features == FeatureKind::kPatches;
  if (!patches && r.stride != 2 && r.stride != 4)
    return "the stride of convolutions is 2 or 4, not " + std::to_string(r.stride) + ".";
  if (r.rows % r.stride != 0 || r.columns % r.stride != 0)
    return "the stride " + std::to_string(r.stride) + " does not divide the canvas of " +
           std::to_string(r.rows) + " x " + std::to_string(r.columns) + " pixels.";
  if (patches && (r.patch < r.stride || (r.patch - r.stride) % 2 != 0))
    return "patches of " + std::to_string(r.patch) + " pixels cannot stand " +
           std::to_string(r.stride) +
           " pixels apart: a patch must be as large as the stride or an even number of pixels "
           "larger.";
  if (shape.self_attention && r.channels % shape.heads != 0)
    return std::to_string(shape.heads) + " heads do not divide " + std::to_string(r.channels) +
           " channels.";
  return {};
}

}  // namespace examples
