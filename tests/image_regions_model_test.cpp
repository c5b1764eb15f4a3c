// SPDX-License-Identifier: Apache-2.0
// The models of the image regions example: gradients of the pooling, of the self-attention and of
// the whole, and what regions see.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "../examples/image_regions/pixel_mlp.hpp"
#include "../examples/image_regions/region_model.hpp"
#include "support/layer_gradients.hpp"

namespace examples {
namespace {

using Maps = FeatureMaps<double>;

constexpr PoolingKind kPoolings[] = {PoolingKind::kNone, PoolingKind::kAdditive,
                                     PoolingKind::kScaledDot};

QueryPooling<double> pooling(PoolingKind kind) {
  Random random(3);
  return QueryPooling<double>({.kind = kind, .features = 5, .attention_dim = 4, .outputs = 3},
                              random);
}

TEST(QueryPooling, GradientsAreThoseOfCentralDifferences) {
  for (const PoolingKind kind : kPoolings) {
    QueryPooling<double> layer = pooling(kind);
    Doubles F = random_doubles(2 * 6, 5, 1);
    const Doubles dO = random_doubles(2, 3, 2);
    std::vector<BasicParameter<double>> parameters;
    layer.append_parameters(parameters, std::string(name_of(kPoolingNames, kind)));
    disturb(parameters);
    const auto loss = [&] { return layer.forward(F, 2).output.cwiseProduct(dO).sum(); };
    const Doubles dF = layer.backward(layer.forward(F, 2), dO);
    expect_gradient(F.data(), dF.data(), F.size(), loss, "F");
    expect_parameter_gradients(parameters, loss);
  }
}

TEST(QueryPooling, GivesTheMeanOfTheValuesUnderItsWeights) {
  for (const PoolingKind kind : kPoolings) {
    const QueryPooling<double> layer = pooling(kind);
    const Doubles F = random_doubles(2 * 6, 5, 1);
    const auto forward = layer.forward(F, 2);
    const Doubles alpha = layer.weights(F, 2);
    ASSERT_EQ(alpha.rows(), 2);
    ASSERT_EQ(alpha.cols(), 6);
    for (Index b = 0; b < 2; ++b) {
      EXPECT_NEAR(alpha.row(b).sum(), 1, 1e-12);
      const Doubles expected = alpha.row(b) * forward.V.middleRows(6 * b, 6);
      EXPECT_TRUE(forward.output.row(b).isApprox(expected.row(0), 1e-12));
    }
    EXPECT_EQ(alpha.isApproxToConstant(1.0 / 6), kind == PoolingKind::kNone);
  }
}

TEST(RegionSelfAttention, GradientsAreThoseOfCentralDifferences) {
  Random random(3);
  RegionSelfAttention<double> layer(6, 2, random);
  Doubles F = random_doubles(2 * 5, 6, 1);
  const Doubles dY = random_doubles(2 * 5, 6, 2);
  std::vector<BasicParameter<double>> parameters;
  layer.append_parameters(parameters, "self_attention");
  disturb(parameters);
  const auto loss = [&] { return layer.forward(F, 2).output.cwiseProduct(dY).sum(); };
  const Doubles dF = layer.backward(layer.forward(F, 2), dY);
  expect_gradient(F.data(), dF.data(), F.size(), loss, "F");
  expect_parameter_gradients(parameters, loss);
}

RegionModelShape small_shape(FeatureKind features, PoolingKind attention, bool self_attention) {
  return {
      .regions =
          {.rows = 8, .columns = 6, .features = features, .stride = 2, .patch = 4, .channels = 6},
      .attention = attention,
      .attention_dim = 3,
      .pooled = 4,
      .self_attention = self_attention,
      .heads = 2,
      .classes = 3};
}

TEST(RegionModel, GradientsOfTheWholeAreThoseOfCentralDifferences) {
  const Maps canvases{2, 8, 6, random_doubles(2 * 8 * 6, 1, 4)};
  const std::vector<Index> labels{2, 0};
  for (const RegionModelShape& shape :
       {small_shape(FeatureKind::kConvolution, PoolingKind::kAdditive, false),
        small_shape(FeatureKind::kConvolution, PoolingKind::kNone, false),
        small_shape(FeatureKind::kPatches, PoolingKind::kScaledDot, true)}) {
    RegionModel<double> model(shape, 5);
    auto parameters = model.parameters();
    const auto loss = [&] {
      return cross_entropy<double>(model.predict(canvases).probabilities, labels).loss;
    };
    EXPECT_NEAR(model.differentiate(canvases, labels), loss(), 1e-12);
    constexpr Index kMost = 12;  // of each tensor, else this takes minutes
    expect_parameter_gradients(parameters, loss, kMost);
  }
}

TEST(RegionModel, TellsPlacesApartWhereItIsTold) {
  // Regions of an empty canvas differ by their position alone.
  const Maps empty{1, 8, 6, Doubles::Zero(48, 1)};
  for (const bool self_attention : {false, true}) {
    const RegionModel<double> model(
        small_shape(FeatureKind::kPatches, PoolingKind::kScaledDot, self_attention), 5);
    EXPECT_FALSE(model.predict(empty).weights.isApproxToConstant(1.0 / 12, 1e-6));
  }
}

TEST(PositionEncoding, IsSinesAndCosinesOfRowAndColumn) {
  const Doubles P = position_encoding<double>(2, 3, 8);
  ASSERT_EQ(P.rows(), 6);
  const Doubles first = P.row(0), last = P.row(5);  // (0, 0) and (1, 2)
  EXPECT_TRUE(first.isApprox((Doubles(1, 8) << 0, 1, 0, 1, 0, 1, 0, 1).finished()));
  const double w = 0.1;  // 100^(-4 / 8)
  EXPECT_TRUE(last.isApprox((Doubles(1, 8) << std::sin(1), std::cos(1), std::sin(2), std::cos(2),
                             std::sin(w), std::cos(w), std::sin(2 * w), std::cos(2 * w))
                                .finished()));
}

TEST(PixelMlp, GradientsAreThoseOfCentralDifferences) {
  PixelMlp<double> model(12, 5, 3, 2);
  const Maps canvases{2, 3, 4, random_doubles(2 * 12, 1, 4)};
  const std::vector<Index> labels{2, 0};
  auto parameters = model.parameters();
  const auto loss = [&] {
    return cross_entropy<double>(model.predict(canvases).probabilities, labels).loss;
  };
  EXPECT_NEAR(model.differentiate(canvases, labels), loss(), 1e-12);
  expect_parameter_gradients(parameters, loss);
}

TEST(PixelMlp, HasAboutAsManyParametersAsAsked) {
  const Index hidden = PixelMlp<double>::hidden_for(34000, 3600, 10);
  PixelMlp<double> model(3600, hidden, 10, 1);
  Index count = 0;
  for (const auto& p : model.parameters()) count += p.value.size();
  EXPECT_NEAR(static_cast<double>(count), 34000, 3611 / 2 + 1);
  EXPECT_EQ(PixelMlp<double>::hidden_for(5, 3600, 10), 1);
}

/// What a region sees along a side: its first pixel, relative to the canvas, and how many.
struct Sight {
  Index first = 0;
  Index pixels = 1;
};

Sight sight_of_first_region(const RegionShape& shape) {
  Sight sight;
  Index step = 1;  // pixels between neighbours of the layer
  for (const ConvolutionOptions& layer : shape.layers()) {
    sight.first -= layer.padding * step;
    sight.pixels += (layer.reach() - 1) * step;
    step *= layer.stride;
  }
  return sight;
}

TEST(RegionShape, CentresRegionsOnTheirSquares) {
  for (const RegionShape& shape :
       {RegionShape{.stride = 4}, RegionShape{.stride = 2},
        RegionShape{.features = FeatureKind::kPatches, .stride = 6, .patch = 24},
        RegionShape{.features = FeatureKind::kPatches, .stride = 5, .patch = 5}}) {
    const Sight sight = sight_of_first_region(shape);
    EXPECT_EQ(2 * sight.first + sight.pixels, shape.stride) << shape.stride;
    Index rows = shape.rows;
    for (const ConvolutionOptions& layer : shape.layers()) rows = layer.outputs_along(rows);
    EXPECT_EQ(rows, shape.rows / shape.stride);
  }
}

TEST(RegionShape, SeesAnObjectOfTheUsualSize) {
  EXPECT_EQ(sight_of_first_region({.stride = 4}).pixels, 28);
  EXPECT_EQ(sight_of_first_region({.stride = 2}).pixels, 10);
}

TEST(RegionShape, SaysWhatIsImpossible) {
  EXPECT_EQ(contradiction(RegionModelShape{}), "");
  EXPECT_EQ(contradiction({.regions = {.stride = 3}}),
            "the stride of convolutions is 2 or 4, not 3.");
  EXPECT_EQ(contradiction({.regions = {.rows = 62}}),
            "the stride 4 does not divide the canvas of 62 x 60 pixels.");
  const std::string rule =
      " pixels apart: a patch must be as large as the stride or an even number of pixels larger.";
  EXPECT_EQ(
      contradiction({.regions = {.features = FeatureKind::kPatches, .stride = 6, .patch = 4}}),
      "patches of 4 pixels cannot stand 6" + rule);
  EXPECT_EQ(
      contradiction({.regions = {.features = FeatureKind::kPatches, .stride = 6, .patch = 9}}),
      "patches of 9 pixels cannot stand 6" + rule);
  EXPECT_EQ(contradiction({.self_attention = true, .heads = 5}),
            "5 heads do not divide 64 channels.");
}

}  // namespace
}  // namespace examples
