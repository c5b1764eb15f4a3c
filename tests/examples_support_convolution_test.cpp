// SPDX-License-Identifier: Apache-2.0
// The examples' convolution and rectifier: values written out as sums, gradients.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "../examples/support/convolution.hpp"
#include "../examples/support/relu.hpp"
#include "support/layer_gradients.hpp"

namespace examples {
namespace {

using Maps = FeatureMaps<double>;

Maps random_maps(Index images, Index rows, Index columns, Index channels) {
  return {images, rows, columns, random_doubles(images * rows * columns, channels, 5)};
}

/// Every kind of step by itself and all of them together.
std::vector<ConvolutionOptions> kinds() {
  return {{.inputs = 2, .outputs = 3, .size = 3},
          {.inputs = 2, .outputs = 3, .size = 3, .stride = 2},
          {.inputs = 2, .outputs = 3, .size = 3, .padding = 1},
          {.inputs = 2, .outputs = 3, .size = 3, .padding = 2, .dilation = 2},
          {.inputs = 2, .outputs = 3, .size = 1},
          {.inputs = 1, .outputs = 2, .size = 4, .stride = 3, .padding = 2},
          {.inputs = 1, .outputs = 2, .size = 2, .stride = 2, .padding = 1, .dilation = 3}};
}

/// The sum of the definition, pixel by pixel.
double output(const ConvolutionOptions& o, const Maps& X, const std::vector<double>& weight,
              double bias, Index image, Index y, Index x, Index channel) {
  double sum = bias;
  for (Index ky = 0; ky < o.size; ++ky)
    for (Index kx = 0; kx < o.size; ++kx) {
      const Index row = o.stride * y + o.dilation * ky - o.padding;
      const Index column = o.stride * x + o.dilation * kx - o.padding;
      if (row < 0 || row >= X.rows || column < 0 || column >= X.columns) continue;
      for (Index c = 0; c < o.inputs; ++c)
        sum += X.values((image * X.rows + row) * X.columns + column, c) *
               weight[static_cast<std::size_t>(((channel * o.size + ky) * o.size + kx) * o.inputs +
                                               c)];
    }
  return sum;
}

void expect_sums(const ConvolutionOptions& options, const Maps& X) {
  Random random(1);
  Convolution<double> layer(options, random);
  std::vector<BasicParameter<double>> parameters;
  layer.append_parameters(parameters, "layer");
  disturb(parameters);
  const auto& w = parameters[0].value;
  const std::vector<double> weight(w.data(), w.data() + w.size());
  const Maps Y = layer.forward(X);
  ASSERT_EQ(Y.values.rows(), X.images * Y.pixels());
  for (Index row = 0; row < Y.values.rows(); ++row)
    for (Index c = 0; c < Y.values.cols(); ++c) {
      const Index image = row / Y.pixels(), at = row % Y.pixels();
      const double expected = output(options, X, weight, parameters[1].value(c), image,
                                     at / Y.columns, at % Y.columns, c);
      ASSERT_NEAR(Y.values(row, c), expected, 1e-12) << "row " << row << ", channel " << c;
    }
}

TEST(Convolution, IsTheSumOfItsDefinition) {
  for (const ConvolutionOptions& options : kinds())
    expect_sums(options, random_maps(3, 7, 6, options.inputs));
}

TEST(Convolution, DoesNotDependOnHowManyImagesMakeAProduct) {
  // An image's unfolded rows take 576 kB, more than a block may.
  expect_sums({.inputs = 2, .outputs = 1, .size = 3, .padding = 1}, random_maps(2, 64, 64, 2));
}

TEST(Convolution, GradientsAreThoseOfCentralDifferences) {
  for (const ConvolutionOptions& options : kinds()) {
    Random random(2);
    Convolution<double> layer(options, random);
    Maps X = random_maps(2, 7, 6, options.inputs);
    const Maps Y = layer.forward(X);
    const Doubles dY = random_doubles(Y.values.rows(), Y.values.cols(), 3);
    std::vector<BasicParameter<double>> parameters;
    layer.append_parameters(parameters, "layer");
    disturb(parameters);
    const auto loss = [&] { return layer.forward(X).values.cwiseProduct(dY).sum(); };
    const Doubles dX = layer.backward(X, dY);
    expect_gradient(X.values.data(), dX.data(), X.values.size(), loss, "X");
    expect_parameter_gradients(parameters, loss);
  }
}

TEST(Convolution, GivesTheSameGradientsToParametersAlone) {
  for (const ConvolutionOptions& options : kinds()) {
    Random random(2);
    Convolution<double> layer(options, random);
    const Maps X = random_maps(2, 7, 6, options.inputs);
    const Maps Y = layer.forward(X);
    const Doubles dY = random_doubles(Y.values.rows(), Y.values.cols(), 3);
    std::vector<BasicParameter<double>> parameters;
    layer.append_parameters(parameters, "layer");
    layer.backward(X, dY);
    std::vector<VectorOf<double>> before;
    for (const auto& p : parameters) before.emplace_back(p.gradient);
    layer.backward_of_parameters(X, dY);
    for (std::size_t i = 0; i < parameters.size(); ++i)
      EXPECT_EQ(parameters[i].gradient, before[i]) << parameters[i].name;
  }
}

TEST(Relu, KeepsWhatIsPositiveAndItsGradient) {
  Doubles X(1, 4);
  X << -1, 0, 2, 3;
  Doubles Y = X, gradient = Doubles::Constant(1, 4, 5);
  relu(Y);
  relu_backward(Y, gradient);
  EXPECT_EQ(Y, (Doubles(1, 4) << 0, 0, 2, 3).finished());
  EXPECT_EQ(gradient, (Doubles(1, 4) << 0, 0, 5, 5).finished());
}

}  // namespace
}  // namespace examples
