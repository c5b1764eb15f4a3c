// SPDX-License-Identifier: Apache-2.0
// The image regions example around its models: sizes, canvases, pointing, training, saved models,
// pictures, the page, tables.
#include <gtest/gtest.h>

#include <cstdint>
#include <iostream>
#include <numeric>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "../examples/image_regions/attention_page.hpp"
#include "../examples/image_regions/canvas_data.hpp"
#include "../examples/image_regions/classification.hpp"
#include "../examples/image_regions/overlay.hpp"
#include "../examples/image_regions/report.hpp"
#include "../examples/image_regions/saved_model.hpp"
#include "../examples/image_regions/training.hpp"
#include "support/errors.hpp"
#include "support/temporary.hpp"

namespace examples {
namespace {

TEST(RegionGrid, SharesOutTheCanvasInSquares) {
  const RegionGrid grid({.rows = 12, .columns = 8, .stride = 4});
  EXPECT_EQ(grid.rows(), 3);
  EXPECT_EQ(grid.columns(), 2);
  const Box square = grid.square(3);
  EXPECT_EQ(square.row, 4);
  EXPECT_EQ(square.column, 4);
  EXPECT_EQ(square.rows, 4);
  EXPECT_TRUE(grid.has_centre_in({5, 5, 3, 3}, 3));  // the centre is at 6
  EXPECT_FALSE(grid.has_centre_in({7, 5, 3, 3}, 3));
  EXPECT_FALSE(grid.has_centre_in({5, 5, 3, 1}, 3));  // it ends there
}

TEST(Pointing, CountsHeaviestRegionsInsideTheBox) {
  const RegionGrid grid({.rows = 8, .columns = 8, .stride = 4});  // centres at 2 and 6
  Pointing pointing;
  pointing.add((Vector(4) << .1f, .6f, .2f, .1f).finished(), grid, {0, 4, 4, 4});  // on it
  pointing.add((Vector(4) << .1f, .6f, .2f, .1f).finished(), grid, {4, 0, 4, 8});  // beside it
  EXPECT_DOUBLE_EQ(pointing.accuracy(), 0.5);
  EXPECT_NEAR(pointing.attention_inside(), (.6 + .3) / 2, 1e-7);
  EXPECT_DOUBLE_EQ(pointing.chance(), (.25 + .5) / 2);
}

TEST(Pointing, DrawsAmongEqualWeights) {
  const RegionGrid grid({.rows = 8, .columns = 8, .stride = 4});
  Pointing pointing;
  pointing.add(Vector::Constant(4, .25f), grid, {4, 0, 4, 8});
  EXPECT_DOUBLE_EQ(pointing.accuracy(), 0.5);
  EXPECT_EQ(pointing.accuracy(), pointing.chance());
}

TEST(Sizes, AreThePublishedOnesForMnistAndOptdigits) {
  const Index large = default_stride(FeatureKind::kConvolution, 28);
  EXPECT_EQ(large, 4);
  EXPECT_EQ(chosen_canvas({}, 28, large).size, 60);
  EXPECT_EQ(chosen_canvas({}, 28, large).piece_size, 8);
  const Index small = default_stride(FeatureKind::kConvolution, 8);
  EXPECT_EQ(small, 2);
  EXPECT_EQ(chosen_canvas({}, 8, small).size, 24);
  EXPECT_EQ(chosen_canvas({}, 8, small).piece_size, 4);
  EXPECT_EQ(default_stride(FeatureKind::kPatches, 28), 6);
  EXPECT_EQ(default_patch(28, 6), 24);
  EXPECT_EQ(default_patch(8, 2), 6);
  EXPECT_EQ(default_patch(9, 2), 8);
  EXPECT_EQ(default_epochs(58000, false), 4);
  EXPECT_EQ(default_epochs(3441, false), 40);
  EXPECT_EQ(default_epochs(3000, true), 13);
}

TEST(Sizes, AreAlwaysPossibleTogether) {
  for (const FeatureKind features : {FeatureKind::kConvolution, FeatureKind::kPatches})
    for (Index object = 2; object <= 64; ++object) {
      RegionModelShape shape;
      shape.regions.features = features;
      shape.regions.stride = default_stride(features, object);
      shape.regions.patch = default_patch(object, shape.regions.stride);
      const Index canvas = chosen_canvas({}, object, shape.regions.stride).size;
      shape.regions.rows = shape.regions.columns = canvas;
      EXPECT_EQ(contradiction(shape), "") << object;
    }
}

TEST(Sizes, AreThoseThatWereGiven) {
  const CanvasShape canvas = chosen_canvas({.size = 40, .pieces = 9, .piece_size = 5}, 28, 4);
  EXPECT_EQ(canvas.size, 40);
  EXPECT_EQ(canvas.pieces, 9);
  EXPECT_EQ(canvas.piece_size, 5);
}

TEST(Validation, TakesATenthAndLosesNothing) {
  LabelledImages train{2, 2, {}, {}};
  for (Index i = 0; i < 40; ++i) {
    train.images.emplace_back(2, 2);
    train.images.back().at(0, 0) = static_cast<std::uint8_t>(i);
    train.labels.push_back(i);
  }
  const LabelledImages validation = split_off_validation(train, 3);
  EXPECT_EQ(validation.size(), 4);
  EXPECT_EQ(train.size(), 36);
  std::set<Index> seen;
  for (const LabelledImages* set : std::vector<const LabelledImages*>{&train, &validation})
    for (std::size_t i = 0; i < set->images.size(); ++i) {
      EXPECT_EQ(set->images[i].at(0, 0), set->labels[i]);
      seen.insert(set->labels[i]);
    }
  EXPECT_EQ(seen.size(), 40u);
  train.images.resize(9);
  train.labels.resize(9);
  EXPECT_EQ(support::message_of<DataError>([&] { split_off_validation(train, 3); }),
            "there are 9 images to learn from; 10 or more are needed.");
}

/// Squares and crosses of 8 x 8 pixels.
LabelledImages drawn(Index count) {
  return drawn_images({.count = count, .size = 8, .symbols = 3, .seed = 5});
}

RegionModelShape small_shape() {
  return {.regions = {.rows = 16, .columns = 16, .stride = 2, .channels = 8},
          .attention_dim = 4,
          .pooled = 8,
          .classes = 3};
}

TEST(CanvasBatch, HoldsTheCanvasesOfTheChosenObjects) {
  const LabelledImages images = drawn(6);
  const ClutteredCanvases canvases(images, {.size = 16, .pieces = 1, .piece_size = 4}, 1);
  const std::vector<Index> chosen{4, 2};
  const CanvasBatch batch = make_batch(canvases, chosen, 0),
                    other = make_batch(canvases, chosen, 9);
  EXPECT_EQ(batch.labels, (std::vector<Index>{1, 2}));
  const Canvas second = canvases.make(2);
  EXPECT_EQ(batch.boxes[1].row, second.box.row);
  for (Index i = 0; i < 256; ++i) {
    const auto byte = second.image.pixels[static_cast<std::size_t>(i)];
    ASSERT_EQ(batch.maps.values(256 + i, 0), static_cast<float>(byte) / 255.f);
  }
  EXPECT_NE(batch.maps.values, other.maps.values);
}

TEST(Evaluation, DoesNotDependOnThreads) {
  const LabelledImages images = drawn(70);  // more than two batches
  const ClutteredCanvases canvases(images, {.size = 16, .pieces = 1, .piece_size = 4}, 1);
  const RegionModel<float> model(small_shape(), 3);
  const Evaluation one = evaluate(model, canvases, 64, 1), three = evaluate(model, canvases, 64, 3);
  EXPECT_EQ(one.loss, three.loss);
  EXPECT_EQ(one.predictions, three.predictions);
  EXPECT_EQ(one.weights, three.weights);
  ASSERT_EQ(one.weights.rows(), 70);
  EXPECT_NEAR(one.weights.row(69).sum(), 1, 1e-5);
  const CanvasBatch last = make_batch(canvases, std::vector<Index>{69}, 0);
  EXPECT_TRUE(model.predict(last.maps).weights.isApprox(one.weights.row(69), 1e-5f));
}

TEST(Training, LowersTheLoss) {
  // Nothing but the object: there is little to learn, and it goes fast.
  const LabelledImages images = drawn(60);
  const ClutteredCanvases canvases(images, {.size = 8, .pieces = 0}, 1);
  RegionModelShape shape = small_shape();
  shape.regions.rows = shape.regions.columns = 8;
  RegionModel<float> model(shape, 3);
  const double before = evaluate(model, canvases, 16, 1).loss;
  std::ostream silence(nullptr);
  Progress progress(silence, false);
  const TrainingSummary summary = train_on_canvases(
      model, "model", canvases, canvases,
      {.epochs = 8, .batch_size = 10, .adam = {.learning_rate = 4e-3f}, .threads = 1}, progress);
  EXPECT_EQ(summary.epochs, 8);
  EXPECT_LT(evaluate(model, canvases, 16, 1).loss, before - 0.1);
}

class SavedModel : public testing::Test {
 protected:
  static std::string path(const std::string& name) { return support::temporary_path(name); }

  /// A saved model with one thing in its description replaced.
  std::string damaged(const std::string& what, const std::string& by) const {
    RegionModel<float> model(small_shape(), 3);
    save_model(path("a.model"), model);
    std::string bytes = read_bytes(path("a.model"));
    bytes.replace(bytes.find(what), what.size(), by);
    write_file(path("damaged.model"), bytes);
    std::string error = support::message_of<DataError>([&] { load_model(path("damaged.model")); });
    return error.substr(error.find("damaged.model") + std::string("damaged.model").size());
  }
};

TEST_F(SavedModel, AnswersAsBefore) {
  RegionModelShape shape = small_shape();
  shape.attention = PoolingKind::kScaledDot;
  shape.self_attention = true;
  RegionModel<float> model(shape, 3);
  save_model(path("a.model"), model);
  const RegionModel<float> loaded = load_model(path("a.model"));
  const FeatureMaps<float> canvas{1, 16, 16, Random(2).normal_matrix(256, 1, 1)};
  EXPECT_EQ(model.predict(canvas).probabilities, loaded.predict(canvas).probabilities);
  EXPECT_EQ(model.predict(canvas).weights, loaded.predict(canvas).weights);
}

TEST_F(SavedModel, OfAnImpossibleDescriptionIsRefused) {
  const std::string sentence = ":2: the description of the saved model is damaged: ";
  EXPECT_EQ(damaged("\"additive\"", "\"sticky\""), sentence + "its attention is 'sticky'.");
  EXPECT_EQ(damaged("\"convolution\"", "\"smell\""), sentence + "its features is 'smell'.");
  EXPECT_EQ(damaged("\"stride\":2", "\"stride\":3"),
            sentence + "the stride of convolutions is 2 or 4, not 3.");
  EXPECT_EQ(damaged("\"rows\":16,\"self", "\"rows\":0,\"self"), sentence + "its rows is 0.");
  const std::string square = " pixels, and a square of at most 1024 rows and columns is possible.";
  EXPECT_EQ(damaged("\"columns\":16", "\"columns\":4096"),
            sentence + "its canvas is 16 x 4096" + square);
  EXPECT_EQ(damaged("\"rows\":16,\"self", "\"rows\":18,\"self"),
            sentence + "its canvas is 18 x 16" + square);
}

ShownCanvas shown(Index truth, Index answer) {
  ShownCanvas canvas{.image = GreyImage(4, 4),
                     .truth = truth,
                     .box = Box{2, 2, 2, 2},
                     .answer = answer,
                     .confidence = 0.75,
                     .weights = Matrix(2, 2)};
  canvas.image.at(0, 0) = 200;
  canvas.weights << 0.f, .5f, .25f, .25f;
  return canvas;
}

std::vector<int> pixel(const ColourImage& image, Index row, Index column) {
  const auto at = static_cast<std::size_t>(3 * (row * image.columns + column));
  return {image.pixels[at], image.pixels[at + 1], image.pixels[at + 2]};
}

TEST(Overlay, ShadesRegionsByTheirWeights) {
  const ColourImage sheet = overlay_sheet(std::vector<ShownCanvas>(5, shown(1, 1)));
  const Index side = 120, seam = 2, gap = 8;  // 4 pixels, each 30 large
  EXPECT_EQ(sheet.columns, gap + 4 * (2 * side + seam + gap));
  EXPECT_EQ(sheet.rows, gap + 2 * (side + gap));
  ASSERT_EQ(sheet.pixels.size(), static_cast<std::size_t>(3 * sheet.rows * sheet.columns));
  const std::vector<int> white{255, 255, 255}, ink{200, 200, 200}, black{0, 0, 0};
  EXPECT_EQ(pixel(sheet, 0, 0), white);                  // the gap
  EXPECT_EQ(pixel(sheet, gap, gap), ink);                // the canvas
  EXPECT_EQ(pixel(sheet, gap, gap + side + seam), ink);  // weight 0
  EXPECT_EQ(pixel(sheet, gap, gap + 65), black);         // the canvas
  EXPECT_EQ(pixel(sheet, gap, gap + side + seam + 65),
            (std::vector<int>{204, 112, 24}));  // heaviest
  EXPECT_EQ(pixel(sheet, gap + 65, gap + side + seam + 5), (std::vector<int>{102, 56, 12}));
  EXPECT_EQ(pixel(sheet, gap + 60, gap + side + seam + 60),
            (std::vector<int>{120, 190, 255}));         // box
  EXPECT_EQ(pixel(sheet, gap + side + gap, gap), ink);  // the fifth stands in the second line
  EXPECT_EQ(pixel(sheet, gap + side + gap, 2 * gap + 2 * side + seam), white);
}

TEST(Shown, AreTheFirstOfTheirKind) {
  const LabelledImages images = drawn(9);
  const ClutteredCanvases canvases(images, {.size = 16, .pieces = 1, .piece_size = 4}, 1);
  const RegionModel<float> model(small_shape(), 3);
  Evaluation answers = evaluate(model, canvases, 64, 1);
  answers.predictions = answers.labels;
  answers.predictions[2] = 0;
  answers.predictions[5] = 1;  // both are 2
  const RegionGrid grid(small_shape().regions);
  const auto wrong = shown_canvases(answers, canvases, grid, false, 5);
  ASSERT_EQ(wrong.size(), 2u);
  EXPECT_EQ(wrong[1].answer, 1);
  EXPECT_EQ(wrong[1].truth, 2);
  EXPECT_FALSE(wrong[1].is_right());
  EXPECT_EQ(wrong[1].image, canvases.make(5).image);
  EXPECT_EQ(wrong[1].weights(1, 2), answers.weights(5, 10));
  EXPECT_EQ(shown_canvases(answers, canvases, grid, true, 5).size(), 5u);
}

TEST(Page, ShowsEachCanvasWithItsWeights) {
  const std::string html =
      attention_page({"A model & more."}, std::vector<ShownCanvas>{shown(1, 1), shown(1, 2)});
  std::size_t cells = 0;
  for (std::size_t at = 0; (at = html.find("data-weight", at)) != std::string::npos; ++at) ++cells;
  EXPECT_GE(cells, 8u);
  for (const char* text : {"A model &amp; more.", "answer 2 (75.0 %)", "is 1"})
    EXPECT_NE(html.find(text), std::string::npos) << text;
}

TEST(Classification, PutsSmallImagesInTheMiddle) {
  GreyImage image(2, 2);
  image.at(1, 1) = 9;
  const GreyImage canvas = on_canvas("a.png", image, 6, 4);
  EXPECT_EQ(canvas.rows, 6);
  EXPECT_EQ(canvas.at(3, 2), 9);
  EXPECT_EQ(std::accumulate(canvas.pixels.begin(), canvas.pixels.end(), 0), 9);
  EXPECT_EQ(support::message_of<DataError>([&] { on_canvas("a.png", GreyImage(4, 7), 6, 6); }),
            "a.png: the image is 4 x 7 pixels, and the model reads canvases of 6 x 6.");
}

TEST(Report, HasBothAccuraciesOfEveryModel) {
  const RegionGrid grid({.rows = 8, .columns = 8, .stride = 4});
  Pointing pointing;
  pointing.add((Vector(4) << .1f, .6f, .2f, .1f).finished(), grid, {0, 4, 4, 4});
  Report report;
  report.models = {{.name = "attention",
                    .accuracy = 0.95,
                    .pointing = pointing,
                    .parameters = 40,
                    .training = TrainingSummary{3, 1.5, true}},
                   {.name = "MLP", .accuracy = 0.5, .parameters = 41}};
  report.tested = 20;
  const nlohmann::json json = metrics_json(report);
  EXPECT_EQ(json["models"][0]["accuracy"], 0.95);
  EXPECT_EQ(json["models"][0]["pointing_accuracy"], 1.0);
  EXPECT_EQ(json["models"][0]["interrupted"], true);
  EXPECT_EQ(json["models"][1]["accuracy"], 0.5);
  EXPECT_TRUE(json["models"][1]["pointing_accuracy"].is_null());
  EXPECT_EQ(json["chance"], 0.25);
  std::ostringstream table;
  print_table(table, report);
  for (const char* text : {"attention (interrupted)", "95.00", "100.00", "Chance: 25.00 %"})
    EXPECT_NE(table.str().find(text), std::string::npos) << table.str();
}

}  // namespace
}  // namespace examples
