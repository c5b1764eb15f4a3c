// SPDX-License-Identifier: Apache-2.0
// From a canvas to its regions: patches, or the places of a small convolutional feature map.
//
//     patches       F = relu(patch W^T + b)          one layer that sees a square of pixels at once
//     convolution   F = relu(conv(relu(conv(...))))  three layers, then one for each region alone
//
// Both are layers of the same kind: a patch is what one output of a convolution sees whose squares
// are as large as a patch.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "../support/convolution.hpp"
#include "../support/matrix.hpp"
#include "../support/parameter.hpp"
#include "../support/random.hpp"
#include "../support/relu.hpp"

namespace examples {

enum class FeatureKind { kConvolution, kPatches };

struct RegionShape {
  Index rows = 60;  // of the canvas
  Index columns = 60;
  FeatureKind features = FeatureKind::kConvolution;
  Index stride = 4;  // pixels from region to region; convolution: 2 or 4
  Index patch = 24;  // pixels along a side of a patch
  Index channels = 64;

  /// Every layer keeps the grid of regions centred on the canvas.
  std::vector<ConvolutionOptions> layers() const {
    if (features == FeatureKind::kPatches)
      return {{.inputs = 1,
               .outputs = channels,
               .size = patch,
               .stride = stride,
               .padding = (patch - stride) / 2}};
    ConvolutionOptions first{.inputs = 1, .outputs = 16, .size = 6, .stride = 2, .padding = 2};
    Index dilation = 2;
    if (stride == 2) {
      first = {.inputs = 1, .outputs = 16, .size = 3, .stride = 1, .padding = 1};
      dilation = 1;
    }
    return {first,
            {.inputs = 16, .outputs = 32, .size = 4, .stride = 2, .padding = 1},
            {.inputs = 32, .outputs = 48, .size = 3, .padding = dilation, .dilation = dilation},
            {.inputs = 48, .outputs = channels, .size = 1}};
  }
};

template <typename T>
class RegionFeatures {
 public:
  using Maps = FeatureMaps<T>;

  RegionFeatures(const RegionShape& shape, Random& random) {
    for (const ConvolutionOptions& options : shape.layers()) layers_.emplace_back(options, random);
  }

  /// The canvases, then what each layer makes of them.
  std::vector<Maps> forward(Maps canvases) const {
    std::vector<Maps> maps{std::move(canvases)};
    for (const Convolution<T>& layer : layers_) {
      maps.push_back(layer.forward(maps.back()));
      relu(maps.back().values);
    }
    return maps;
  }

  /// Overwrites the parameters' gradients; dF is consumed.
  void backward(const std::vector<Maps>& maps, MatrixOf<T> dF) {
    for (std::size_t l = layers_.size(); l > 0; --l) {
      relu_backward(maps[l].values, dF);
      if (l == 1)
        layers_[0].backward_of_parameters(maps[0], dF);
      else
        dF = layers_[l - 1].backward(maps[l - 1], dF);
    }
  }

  void append_parameters(std::vector<BasicParameter<T>>& parameters, const std::string& prefix) {
    for (std::size_t l = 0; l < layers_.size(); ++l)
      layers_[l].append_parameters(parameters, prefix + "." + std::to_string(l));
  }

 private:
  std::vector<Convolution<T>> layers_;
};

}  // namespace examples
