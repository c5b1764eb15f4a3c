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
#include <utility>
#include <vector>

#include "../support/convolution.hpp"
#include "../support/matrix.hpp"
#include "../support/parameter.hpp"
#include "../support/random.hpp"
#include "../support/relu.hpp"
#include "region_shape.hpp"

namespace examples {

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
