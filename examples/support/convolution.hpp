// SPDX-License-Identifier: Apache-2.0
// Two-dimensional convolution as products of large matrices.
//
//     Y[b, y, x, :] = bias + sum_ky,kx  W[:, ky, kx, :] X[b, s y + e ky - p, s x + e kx - p, :]
//
// with stride s, dilation e and padding p of zeros. What one output sees is copied into a row, so
// that the sum is a row times W^T; as many images as stay in the cache make one product. The
// backward pass copies the rows again instead of keeping them.
//
// Source: Chellapilla, Puri and Simard 2006, section 4 (unfolding); Yu and Koltun 2016 (dilation).
#pragma once

#include <algorithm>
#include <cmath>
#include <string>
#include <type_traits>
#include <vector>

#include "matrix.hpp"
#include "parameter.hpp"
#include "random.hpp"

namespace examples {

/// Images with channels: row (b rows + y) columns + x of `values` is pixel (y, x) of image b.
template <typename T>
struct FeatureMaps {
  Index images = 0;
  Index rows = 0;
  Index columns = 0;
  MatrixOf<T> values;  // a column a channel

  Index pixels() const { return rows * columns; }
};

struct ConvolutionOptions {
  Index inputs = 1;   // channels
  Index outputs = 1;  // channels
  Index size = 3;     // of the square that an output sees
  Index stride = 1;
  Index padding = 0;
  Index dilation = 1;

  /// Pixels from the first to the last that an output sees.
  Index reach() const { return (size - 1) * dilation + 1; }
  /// Outputs along a side of `pixels`.
  Index outputs_along(Index pixels) const { return (pixels + 2 * padding - reach()) / stride + 1; }
};

template <typename T>
class Convolution {
 public:
  using Maps = FeatureMaps<T>;

  /// Weights are drawn with variance 2 / inputs of an output, which keeps the scale through
  /// rectifiers (He et al. 2015, eq. 10).
  Convolution(const ConvolutionOptions& options, Random& random)
      : options_(options),
        weight_(random.normal_matrix(options.outputs, fan_in(), std::sqrt(2.f / float_fan_in()))
                    .template cast<T>()),
        bias_(VectorOf<T>::Zero(options.outputs)),
        weight_gradient_(MatrixOf<T>::Zero(options.outputs, fan_in())),
        bias_gradient_(VectorOf<T>::Zero(options.outputs)) {}

  const ConvolutionOptions& options() const { return options_; }

  Maps forward(const Maps& X) const {
    Maps Y = outputs_of(X);
    Unfolder unfolder(options_, X);
    for_each_block(X, Y, [&](Index first, Index count) {
      auto block = Y.values.middleRows(first * Y.pixels(), count * Y.pixels());
      block.noalias() = unfolder.rows_of(first, count) * weight_.transpose();
      block.rowwise() += bias_.transpose();
    });
    return Y;
  }

  /// Overwrites the parameters' gradients and returns dX.
  MatrixOf<T> backward(const Maps& X, const MatrixOf<T>& dY) {
    MatrixOf<T> dX(X.values.rows(), X.values.cols());
    differentiate(X, dY, &dX);
    return dX;
  }
  /// For a first layer, whose inputs need no gradient.
  void backward_of_parameters(const Maps& X, const MatrixOf<T>& dY) {
    differentiate(X, dY, nullptr);
  }

  void append_parameters(std::vector<BasicParameter<T>>& parameters, const std::string& prefix) {
    parameters.push_back(parameter(prefix + ".weight", weight_, weight_gradient_));
    parameters.push_back(parameter(prefix + ".bias", bias_, bias_gradient_));
  }

 private:
  /// Copies what outputs see into rows, and adds the gradients of such rows up again. Both go
  /// through a copy of the image with its padding, so that no output is at an edge.
  class Unfolder {
   public:
    Unfolder(const ConvolutionOptions& options, const Maps& X)
        : options_(options),
          X_(X),
          out_rows_(options.outputs_along(X.rows)),
          out_columns_(options.outputs_along(X.columns)),
          padded_(MatrixOf<T>::Zero(X.rows + 2 * options.padding,
                                    (X.columns + 2 * options.padding) * options.inputs)) {}

    const MatrixOf<T>& rows_of(Index first, Index count) {
      resize(count);
      for (Index i = 0; i < count; ++i) {
        interior() = image(X_.values, first + i);
        for_each_run(i, [](T* row, T* pixels, Index length) { std::copy_n(pixels, length, row); });
      }
      return unfolded_;
    }

    /// Where the gradients of the rows that were made last may be written.
    MatrixOf<T>& gradient_of_rows() { return unfolded_; }

    /// Writes the sums of these gradients.
    void fold(Index first, Index count, MatrixOf<T>& dX) {
      for (Index i = 0; i < count; ++i) {
        padded_.setZero();
        for_each_run(i, [](const T* row, T* pixels, Index length) {
          for (Index c = 0; c < length; ++c) pixels[c] += row[c];
        });
        image(dX, first + i) = interior();
      }
      padded_.setZero();
    }

   private:
    void resize(Index count) {
      unfolded_.resize(count * out_rows_ * out_columns_,
                       options_.size * options_.size * options_.inputs);
    }

    auto interior() {
      return padded_.block(options_.padding, options_.padding * options_.inputs, X_.rows,
                           X_.columns * options_.inputs);
    }
    template <typename Values>
    auto image(Values& values, Index number) const {
      using Image = std::conditional_t<std::is_const_v<Values>, const MatrixOf<T>, MatrixOf<T>>;
      return Eigen::Map<Image>(values.data() + number * X_.pixels() * options_.inputs, X_.rows,
                               X_.columns * options_.inputs);
    }

    /// visit(part of a row, the pixels it stands for, numbers): pixels next to each other go in
    /// one run, and without dilation a whole line of the square is one.
    template <typename Visit>
    void for_each_run(Index number, const Visit& visit) {
      const Index runs = options_.dilation == 1 ? 1 : options_.size;
      const Index length = options_.size * options_.inputs / runs;
      const Index step = options_.dilation * options_.inputs;
      T* row = unfolded_.data() + number * out_rows_ * out_columns_ * unfolded_.cols();
      for (Index y = 0; y < out_rows_; ++y)
        for (Index x = 0; x < out_columns_; ++x)
          for (Index ky = 0; ky < options_.size; ++ky) {
            T* pixels = padded_.data() +
                        (y * options_.stride + ky * options_.dilation) * padded_.cols() +
                        x * options_.stride * options_.inputs;
            for (Index k = 0; k < runs; ++k, row += length, pixels += step)
              visit(row, pixels, length);
          }
    }

    ConvolutionOptions options_;
    const Maps& X_;
    Index out_rows_;
    Index out_columns_;
    MatrixOf<T> padded_;
    MatrixOf<T> unfolded_;
  };

  Index fan_in() const { return options_.size * options_.size * options_.inputs; }
  float float_fan_in() const { return static_cast<float>(fan_in()); }

  Maps outputs_of(const Maps& X) const {
    Maps Y{X.images, options_.outputs_along(X.rows), options_.outputs_along(X.columns), {}};
    Y.values.resize(Y.images * Y.pixels(), options_.outputs);
    return Y;
  }

  /// body(first image, count): blocks whose unfolded rows stay in the second-level cache.
  template <typename Body>
  void for_each_block(const Maps& X, const Maps& Y, const Body& body) const {
    constexpr Index kCacheBytes = 1 << 19;
    const Index bytes = Y.pixels() * fan_in() * static_cast<Index>(sizeof(T));
    const Index block = std::max<Index>(1, kCacheBytes / std::max<Index>(bytes, 1));
    for (Index first = 0; first < X.images; first += block)
      body(first, std::min(block, X.images - first));
  }

  void differentiate(const Maps& X, const MatrixOf<T>& dY, MatrixOf<T>* dX) {
    const Maps Y = outputs_of(X);
    Unfolder unfolder(options_, X);
    weight_gradient_.setZero();
    for_each_block(X, Y, [&](Index first, Index count) {
      const auto d_block = dY.middleRows(first * Y.pixels(), count * Y.pixels());
      weight_gradient_.noalias() += d_block.transpose() * unfolder.rows_of(first, count);
      if (dX == nullptr) return;
      unfolder.gradient_of_rows().noalias() = d_block * weight_;
      unfolder.fold(first, count, *dX);
    });
    bias_gradient_ = dY.colwise().sum().transpose();
  }

  ConvolutionOptions options_;
  MatrixOf<T> weight_;  // outputs x (line, column, input)
  VectorOf<T> bias_;
  MatrixOf<T> weight_gradient_;
  VectorOf<T> bias_gradient_;
};

}  // namespace examples
