// SPDX-License-Identifier: Apache-2.0
// Training support of the examples: random numbers, layers, loss, Adam, averages, metrics, files.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <numeric>
#include <string>
#include <vector>

#include "../examples/support/adam.hpp"
#include "../examples/support/cross_entropy.hpp"
#include "../examples/support/data_error.hpp"
#include "../examples/support/embedding.hpp"
#include "../examples/support/linear.hpp"
#include "../examples/support/metrics.hpp"
#include "../examples/support/parameter.hpp"
#include "../examples/support/random.hpp"
#include "../examples/support/weight_average.hpp"
#include "../examples/support/weights_file.hpp"
#include "support/temporary.hpp"

namespace examples {
namespace {

TEST(Random, IsTheSameEverywhere) {
  // First outputs of SplitMix64 from seed 0, as its authors publish them.
  Random random(0);
  EXPECT_EQ(random.bits(), 0xE220A8397B1DCDAFu);
  EXPECT_EQ(random.bits(), 0x6E789E6AA1B965F4u);
}

TEST(Random, HasTheMomentsOfItsDistributions) {
  Random random(3);
  constexpr int kCount = 20000;
  double uniform = 0, normal = 0, square = 0;
  for (int i = 0; i < kCount; ++i) {
    const auto u = static_cast<double>(random.uniform());
    ASSERT_TRUE(u >= 0 && u < 1);
    uniform += u / kCount;
    const auto n = static_cast<double>(random.normal());
    normal += n / kCount;
    square += n * n / kCount;
  }
  EXPECT_NEAR(uniform, 0.5, 0.01);  // five standard errors and more
  EXPECT_NEAR(normal, 0, 0.04);
  EXPECT_NEAR(square, 1, 0.06);
}

TEST(Random, ShufflesWithoutLoss) {
  std::vector<int> numbers(50);
  std::iota(numbers.begin(), numbers.end(), 0);
  const std::vector<int> sorted = numbers;
  Random(1).shuffle(numbers);
  EXPECT_NE(numbers, sorted);
  std::sort(numbers.begin(), numbers.end());
  EXPECT_EQ(numbers, sorted);
}

TEST(Embedding, AddsWeightedRows) {
  Matrix table(3, 2);
  table << 1, 2, 10, 20, 100, 200;
  const Embedding embedding(table);
  Matrix x = Matrix::Zero(1, 2);
  const std::vector<Feature> features = {{0, 1.f}, {2, 0.5f}};
  embedding.add_to(x.row(0), features);
  EXPECT_EQ(x(0, 0), 51.f);
  EXPECT_EQ(x(0, 1), 102.f);
}

TEST(Embedding, TouchesAndForgetsOnlyWhatABatchUsed) {
  Embedding embedding(Matrix::Zero(4, 2));
  const std::vector<Feature> features = {{1, 2.f}, {1, 1.f}, {3, 1.f}};
  embedding.add_gradient(Eigen::RowVector2f(1, -1), features);
  const Parameter p = embedding.parameter("e");
  EXPECT_EQ(*p.touched_rows, (std::vector<Index>{1, 3}));
  EXPECT_EQ(p.gradient(2), 3.f);
  EXPECT_EQ(p.gradient(7), -1.f);
  embedding.clear_gradient();
  EXPECT_TRUE(p.gradient.isZero(0));
  EXPECT_TRUE(p.touched_rows->empty());
}

TEST(Linear, GradientsAgreeWithDifferences) {
  Random random(5);
  Linear layer(3, 2, random);
  Matrix X = random.normal_matrix(4, 3, 1);
  const Matrix dY = random.normal_matrix(4, 2, 1);
  const auto value = [&] { return layer.forward(X).cwiseProduct(dY).sum(); };
  const Matrix dX = layer.backward(X, dY);
  std::vector<Parameter> parameters;
  layer.append_parameters(parameters, "layer");
  // The layer is linear in each of its arguments, so that differences are exact but for rounding.
  const auto difference = [&](float& number) {
    const float kept = number;
    number = kept + 0.5f;
    const float above = value();
    number = kept - 0.5f;
    const float below = value();
    number = kept;
    return above - below;
  };
  for (Parameter& p : parameters) {
    for (Index i = 0; i < p.value.size(); ++i) {
      EXPECT_NEAR(p.gradient(i), difference(p.value(i)), 1e-4f) << p.name << ' ' << i;
    }
  }
  for (Index i = 0; i < X.size(); ++i) {
    EXPECT_NEAR(dX.data()[i], difference(X.data()[i]), 1e-4f) << i;
  }
}

TEST(CrossEntropy, IsTheMeanOfTheRightClassesAndSurvivesHugeLogits) {
  Matrix logits(2, 2);
  logits << 0, 0, 1e4f, -1e4f;
  const Matrix p = row_softmax(logits);
  const std::vector<Index> labels = {0, 0};
  const CrossEntropy end = cross_entropy(p, labels);
  EXPECT_NEAR(end.loss, std::log(2.f) / 2, 1e-6f);
  EXPECT_FLOAT_EQ(end.gradient(0, 0), -0.25f);
  EXPECT_FLOAT_EQ(end.gradient(0, 1), 0.25f);
  EXPECT_EQ(end.gradient(1, 0), 0.f);
}

TEST(Adam, MovesByTheLearningRateInTheFirstStep) {
  // The first step is rate * g / |g| whatever the size of g.
  Vector w(2), g(2);
  w << 1, 1;
  g << 1e-3f, -50;
  std::vector<Parameter> parameters{parameter("w", w, g)};
  Adam({.learning_rate = 0.1f}).step(parameters);
  EXPECT_NEAR(w(0), 0.9f, 1e-4f);
  EXPECT_NEAR(w(1), 1.1f, 1e-4f);
}

TEST(Adam, DecaysWeightsWithoutAGradient) {
  Vector w = Vector::Ones(1), g = Vector::Zero(1);
  std::vector<Parameter> parameters{parameter("w", w, g)};
  Adam({.learning_rate = 0.1f, .weight_decay = 0.5f}).step(parameters);
  EXPECT_NEAR(w(0), 0.95f, 1e-6f);
}

TEST(Adam, LeavesUntouchedRowsAlone) {
  Embedding embedding(Matrix::Ones(2, 1));
  embedding.add_gradient(Vector::Ones(1), std::vector<Feature>{{1, 1.f}});
  std::vector<Parameter> parameters{embedding.parameter("e")};
  Adam({.learning_rate = 0.1f, .weight_decay = 1}).step(parameters);
  EXPECT_EQ(embedding.table()(0, 0), 1.f);
  EXPECT_LT(embedding.table()(1, 0), 0.9f);
}

TEST(Adam, FindsTheMinimumOfABowl) {
  Vector w(2), g(2);
  w << 3, -2;
  std::vector<Parameter> parameters{parameter("w", w, g)};
  Adam adam({.learning_rate = 0.05f});
  for (int i = 0; i < 500; ++i) {
    g.array() = w.array() * Eigen::Array2f(1, 20);
    adam.step(parameters);
  }
  EXPECT_LT(w.norm(), 1e-2f);
}

TEST(WeightAverage, IsTheMeanOfWhatItWasShown) {
  Vector w = Vector::Constant(1, 1), g = Vector::Zero(1);
  std::vector<Parameter> parameters{parameter("w", w, g)};
  WeightAverage average;
  for (const float value : {1.f, 2.f, 6.f}) {
    w(0) = value;
    average.add(parameters);
  }
  set_weights(parameters, average.mean());
  EXPECT_FLOAT_EQ(w(0), 3.f);
}

TEST(Confusion, GivesAccuracyAndMacroF1) {
  Confusion confusion(3);
  const std::vector<Index> truth = {0, 0, 0, 1, 1}, predictions = {0, 0, 1, 1, 1};
  confusion.add(truth, predictions);
  EXPECT_DOUBLE_EQ(confusion.accuracy(), 0.8);
  // Class 0: 2*2/(3+2) = 0.8; class 1: 2*2/(2+3) = 0.8; class 2 does not occur.
  EXPECT_DOUBLE_EQ(confusion.macro_f1(), 0.8);
  EXPECT_EQ(Confusion(2).accuracy(), 0);
}

TEST(Confusion, CountsAMissedClassAsZero) {
  Confusion confusion(2);
  confusion.add(0, 0);
  confusion.add(1, 0);
  EXPECT_DOUBLE_EQ(confusion.macro_f1(), (2.0 / 3.0) / 2);
}

class WeightsFileTest : public testing::Test {
 protected:
  std::string file(const std::string& name) const { return support::temporary_path(name); }

  std::string error_of(const std::string& path, std::vector<Parameter> parameters) const {
    try {
      WeightsFile(path, "test model").copy_to(parameters);
    } catch (const DataError& error) {
      return error.what();
    }
    return "no error";
  }

  Matrix w_ = Matrix::Constant(2, 3, 1.5f);
  Matrix g_ = Matrix::Zero(2, 3);
};

TEST_F(WeightsFileTest, GivesBackWhatWasSaved) {
  std::vector<Parameter> parameters{parameter("w", w_, g_)};
  save_weights(file("good"), "test model", {{"note", "hello"}}, parameters);
  w_.setZero();
  const WeightsFile saved(file("good"), "test model");
  EXPECT_EQ(saved.description().at("note"), "hello");
  saved.copy_to(parameters);
  EXPECT_TRUE(w_.isConstant(1.5f, 0));
}

TEST_F(WeightsFileTest, RefusesAnotherShapeAndDamage) {
  save_weights(file("bad"), "test model", {}, {parameter("w", w_, g_)});
  Matrix other = Matrix::Zero(3, 3);
  EXPECT_NE(error_of(file("bad"), {parameter("w", other, other)})
                .find(":2: the saved model has "
                      "another shape: tensor 1"),
            std::string::npos);
  EXPECT_NE(error_of(file("bad"), {}).find("1 tensors where 0 are needed"), std::string::npos);
  std::filesystem::resize_file(file("bad"), std::filesystem::file_size(file("bad")) - 4);
  EXPECT_NE(
      error_of(file("bad"), {parameter("w", w_, g_)}).find(":3: the saved model holds 20 bytes"),
      std::string::npos);
  std::ofstream(file("bad")) << "something else\n";
  EXPECT_NE(error_of(file("bad"), {}).find(":1: this is not a saved 'test model'."),
            std::string::npos);
}

}  // namespace
}  // namespace examples
