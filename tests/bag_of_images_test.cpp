// SPDX-License-Identifier: Apache-2.0
// The bags of images: how they are filled, gated attention against its equations, gradients, and
// how results are counted.
#include <gtest/gtest.h>

#include <algorithm>
#include <attn/attn.hpp>
#include <cmath>
#include <cstddef>
#include <string>
#include <vector>

#include "../examples/bag_of_images/bag_model.hpp"
#include "../examples/bag_of_images/bag_page.hpp"
#include "../examples/bag_of_images/bags.hpp"
#include "../examples/bag_of_images/experiment.hpp"
#include "../examples/bag_of_images/gated_attention.hpp"
#include "../examples/bag_of_images/report.hpp"
#include "../examples/support/area_under_curve.hpp"
#include "../examples/support/data_error.hpp"
#include "../examples/support/drawn_digits.hpp"
#include "support/errors.hpp"
#include "support/layer_gradients.hpp"

namespace examples {
namespace {

using VectorD = VectorOf<double>;

TEST(Bags, AreOfTheWantedSizeAndPositiveWhereTheTargetIsInThem) {
  const LabelledImages set = drawn_images({.count = 200, .size = 8});
  const BagRules rules{.target = 4, .mean_size = 6, .size_deviation = 2};
  const std::vector<Bag> bags = make_bags(set, rules, 400, 1);
  double images = 0, square = 0;
  std::size_t positive = 0;
  for (const Bag& bag : bags) {
    const bool has_target = std::any_of(bag.images.begin(), bag.images.end(),
                                        [&](Index i) { return set.labels[std::size_t(i)] == 4; });
    EXPECT_EQ(bag.is_positive, has_target);
    EXPECT_FALSE(bag.images.empty());
    const auto size = static_cast<double>(bag.images.size());
    images += size / 400;
    square += size * size / 400;
    positive += bag.is_positive ? 1 : 0;
  }
  EXPECT_NEAR(images, 6, 0.5);
  EXPECT_NEAR(std::sqrt(square - images * images), 2, 0.4);
  EXPECT_NEAR(static_cast<double>(positive) / 400, 1 - std::pow(0.9, 6), 0.1);
}

TEST(Bags, FollowFromTheirSeedAndNumber) {
  const LabelledImages set = drawn_images({.count = 50, .size = 8});
  const std::vector<Bag> few = make_bags(set, {}, 3, 1), many = make_bags(set, {}, 9, 1);
  EXPECT_EQ(few[2].images, many[2].images);
  EXPECT_NE(make_bags(set, {}, 3, 2)[2].images, few[2].images);
}

TEST(Bags, RefuseATargetThatNoImageHas) {
  const LabelledImages set = drawn_images({.count = 5, .size = 8});
  support::expect_error<DataError>(
      "no image has the class 7 that --target asks for; the classes are 0 to 4.",
      [&] { make_bags(set, {.target = 7}, 3, 1); });
}

TEST(BagBatch, HasTheImagesOfTheChosenBagsInARow) {
  const LabelledImages set = drawn_images({.count = 4, .size = 8});
  const std::vector<Bag> bags = {{{3, 1}, true}, {{0}, false}, {{2, 2, 0}, false}};
  const BagBatch batch = batch_of(set, bags, std::vector<Index>{2, 0});
  EXPECT_EQ(batch.offsets, (std::vector<Index>{0, 3, 5}));
  EXPECT_EQ(batch.labels, (std::vector<Index>{0, 1}));
  ASSERT_EQ(batch.images.rows(), 5);
  EXPECT_TRUE(batch.images.row(3).isApprox(scaled_pixels(set.images[3]).matrix()));
}

TEST(BagBatch, MovesImagesByAPixelWhereItIsTold) {
  GreyImage image(4, 4);
  image.at(1, 2) = 200;
  std::vector<bool> seen(16, false);
  Random random(1);
  for (int i = 0; i < 100; ++i) {
    const GreyImage moved = nudged(image, random);
    const auto at = std::find(moved.pixels.begin(), moved.pixels.end(), 200);
    ASSERT_NE(at, moved.pixels.end());
    EXPECT_EQ(std::count(moved.pixels.begin(), moved.pixels.end(), 0), 15);
    seen[std::size_t(at - moved.pixels.begin())] = true;
  }
  for (Index r = 0; r < 4; ++r) {
    for (Index c = 0; c < 4; ++c)
      EXPECT_EQ(seen[std::size_t(4 * r + c)], r <= 2 && c >= 1) << r << ' ' << c;
  }
}

/// An attention layer with its parameters at hand.
struct Layer {
  explicit Layer(bool is_gated) : layer(3, 4, is_gated, random) {
    layer.append_parameters(parameters, "p");
    disturb(parameters);
  }
  Doubles matrix(const std::string& name) const {
    for (const BasicParameter<double>& p : parameters)
      if (p.name == name) return Eigen::Map<const Doubles>(p.value.data(), p.rows, p.columns);
    ADD_FAILURE() << name;
    return {};
  }

  Random random{11};
  BasicGatedAttention<double> layer;
  std::vector<BasicParameter<double>> parameters;
};

/// Ilse et al. 2018, eq. 9, word for word as a score function of the user's own: what the model
/// says with a dot product.
TEST(GatedAttention, IsTheEquationOfThePaper) {
  Layer gated(true);
  const Doubles H = random_doubles(7, 3, 5);
  const std::vector<Index> offsets = {0, 2, 7};
  const Doubles V = gated.matrix("p.V.weight"), U = gated.matrix("p.U.weight");
  const Doubles b = gated.matrix("p.V.bias"), c = gated.matrix("p.U.bias");
  const auto score = attn::score_function([&](const auto& w, const auto& h) {
    const VectorD content = (V * h.transpose() + b).array().tanh();
    const VectorD gate = 1 / (1 + (-(U * h.transpose() + c).array()).exp());
    return w.dot(content.cwiseProduct(gate).transpose());
  });
  const auto forward = gated.layer.forward(H, offsets);
  const Doubles w = gated.matrix("p.w").transpose();
  for (Index bag = 0; bag < 2; ++bag) {
    const Index first = offsets[std::size_t(bag)], count = offsets[std::size_t(bag) + 1] - first;
    const Doubles images = H.middleRows(first, count);
    const auto expected = attn::attention_with_weights(w, images, images, score);
    EXPECT_TRUE(forward.output().row(bag).isApprox(expected.output.row(0), 1e-12));
    EXPECT_TRUE(forward.weights()
                    .segment(first, count)
                    .transpose()
                    .isApprox(expected.weights.row(0), 1e-12));
  }
}

TEST(GatedAttention, WithoutItsGateIsTheLibrarysAttentionPooling) {
  Layer additive(false);
  const Doubles H = random_doubles(5, 3, 5);
  attn::AttentionPooling<double> pooling({.embed_dim = 3, .attention_dim = 4});
  pooling.parameters.W = additive.matrix("p.V.weight");
  pooling.parameters.b = additive.matrix("p.V.bias");
  pooling.parameters.v = additive.matrix("p.w");
  const auto forward = additive.layer.forward(H, {0, 5});
  EXPECT_TRUE(forward.output().isApprox(pooling(H), 1e-12));
  EXPECT_TRUE(forward.weights().transpose().isApprox(pooling.weights(H), 1e-12));
}

TEST(GatedAttention, GradientsAreThoseOfCentralDifferences) {
  for (const bool is_gated : {true, false}) {
    Layer layer(is_gated);
    Doubles H = random_doubles(6, 3, 6);
    const Doubles d_output = random_doubles(2, 3, 7);
    const std::vector<Index> offsets = {0, 1, 6};
    const auto loss = [&] {
      return layer.layer.forward(H, offsets).output().cwiseProduct(d_output).sum();
    };
    const Doubles dH = layer.layer.backward(H, layer.layer.forward(H, offsets), d_output);
    expect_gradient(H.data(), dH.data(), H.size(), loss, "H");
    expect_parameter_gradients(layer.parameters, loss);
  }
}

BasicBagBatch<double> random_batch() {
  BasicBagBatch<double> batch;
  batch.images = random_doubles(9, 5, 3);
  batch.offsets = {0, 4, 5, 9};
  batch.labels = {1, 0, 0};
  return batch;
}

TEST(BagModel, GradientsAreThoseOfCentralDifferencesWithEveryPooling) {
  const BagModelShape shape{.pixels = 5, .hidden = 6, .features = 4, .attention_dim = 3};
  for (const Pooling pooling :
       {Pooling::kGated, Pooling::kAdditive, Pooling::kMax, Pooling::kMean}) {
    SCOPED_TRACE(pooling_name(pooling));
    const BasicBagBatch<double> batch = random_batch();
    BasicBagModel<double> model(shape, pooling, Random(8));
    auto parameters = model.parameters();
    disturb(parameters);
    const auto loss = [&] {
      const VectorD p = model.predict(batch).positive;  // of the right labels 1, 0, 0
      return -(std::log(p(0)) + std::log(1 - p(1)) + std::log(1 - p(2))) / 3;
    };
    EXPECT_NEAR(model.differentiate(batch), loss(), 1e-12);
    expect_parameter_gradients(parameters, loss);
  }
}

TEST(BagModel, DoesNotCareAboutTheOrderOfABagOrOtherBags) {
  const BagModelShape shape{.pixels = 5, .hidden = 6, .features = 4, .attention_dim = 3};
  const BasicBagBatch<double> batch = random_batch();
  BasicBagBatch<double> alone;
  alone.images = batch.images.topRows(4).colwise().reverse();
  alone.offsets = {0, 4};
  alone.labels = {1};
  for (const Pooling pooling : {Pooling::kGated, Pooling::kMax, Pooling::kMean}) {
    const BasicBagModel<double> model(shape, pooling, Random(8));
    const auto all = model.predict(batch), one = model.predict(alone);
    EXPECT_NEAR(all.positive(0), one.positive(0), 1e-12) << pooling_name(pooling);
    if (!has_attention(pooling)) continue;
    EXPECT_NEAR(one.weights.sum(), 1, 1e-12);
    EXPECT_TRUE(all.weights.head(4).isApprox(one.weights.reverse(), 1e-12));
  }
}

TEST(AreaUnderCurve, IsTheShareOfPairsInTheRightOrder) {
  const std::vector<Index> labels = {1, 0, 1, 0};
  const auto area = [&](const std::vector<double>& scores) {
    return area_under_curve(scores, labels);
  };
  EXPECT_EQ(area({.9, .1, .8, .2}), 1);
  EXPECT_EQ(area({.1, .9, .2, .8}), 0);
  EXPECT_EQ(area({.9, .1, .3, .5}), 0.75);
  EXPECT_EQ(area({.5, .5, .5, .5}), 0.5);
  EXPECT_EQ(area({.9, .5, .5, .1}), 0.875);
  EXPECT_EQ(area({std::nan(""), .1, .8, .2}), 0.5);  // lower than any number
  EXPECT_EQ(area_under_curve(std::vector<double>{1, 2}, std::vector<Index>{1, 1}), 0.5);
}

TEST(HitRate, LooksAtTheHighestWeightOfPositiveBags) {
  const LabelledImages set = drawn_images({.count = 10, .size = 8});
  const std::vector<Bag> bags = {{{9, 1}, true}, {{2, 9, 3}, true}, {{4, 5}, false}};
  const BagAnswers answers{{.9, .8, .1}, {{.7, .3}, {.5, .2, .3}, {.1, .9}}};
  EXPECT_EQ(hit_rate(answers, set, bags, 9), 0.5);
  EXPECT_NEAR(chance_of_hit(set, bags, 9), (1. / 2 + 1. / 3) / 2, 1e-12);
  EXPECT_EQ(auc_of(answers, bags), 1);
  EXPECT_NEAR(loss_of(answers, bags), -std::log(.9 * .8 * .9) / 3, 1e-12);
}

TEST(Findings, AreSummedUpByMeanAndDeviation) {
  EXPECT_EQ(spread_text({.5, .6, .7}), "0.600 +- 0.100");
  EXPECT_EQ(spread_text({.25}), "0.250");
  EXPECT_EQ(mean_of({}), 0);
}

TEST(BagPage, ShowsWrongAnswersFirstAndABoxForEachImage) {
  const LabelledImages set = drawn_images({.count = 10, .size = 8});
  Findings findings;
  findings.test_bags = {{{9, 1}, true}, {{1, 2, 3, 4, 5, 6}, false}};
  findings.last = {{.9, .8}, {{.7, .3}, {.5, .1, .1, .1, .1, .1}}};
  findings.last_model = "gated attention, 50 bags";
  EXPECT_EQ(shown_bags(findings), (std::vector<std::size_t>{1, 0}));
  const ContactSheet sheet = contact_sheet(set, findings.test_bags[1], 9);
  EXPECT_EQ(sheet.boxes.size(), 6u);
  EXPECT_EQ(sheet.image.rows, 2 * 12);
  EXPECT_EQ(sheet.image.cols, 4 * 12);
  const std::string html = bag_page(findings, set, 9);
  EXPECT_NE(html.find("probability 0.900 of being positive; 1 of 2 images are of class 9"),
            std::string::npos);
  EXPECT_LT(html.find("card wrong"), html.find("card right"));
}

}  // namespace
}  // namespace examples
